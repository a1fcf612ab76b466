// What Lighthouse says of pages, in a browser that has the cookies of somebody who is signed in.
// Standard input: {"chromium", "cookies": [{name, value, url}], "pages": [url], "form": "desktop" or "mobile", "dark"}.
// Standard output, a line for each page: {"page", "scores": {category: 0 to 1}, "failed": [audit: what it found]}.
import { text } from "node:stream/consumers";
import lighthouse, { desktopConfig } from "lighthouse";
import puppeteer from "puppeteer-core";

const asked = JSON.parse(await text(process.stdin));
const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"];
if (asked.dark) args.push("--force-dark-mode", "--blink-settings=preferredColorScheme=0");
const browser = await puppeteer.launch({ executablePath: asked.chromium, args, protocolTimeout: 300_000 });
try {
  await browser.setCookie(...asked.cookies);
  const flags = {
    port: Number(new URL(browser.wsEndpoint()).port),
    onlyCategories: ["accessibility", "best-practices"],
    disableStorageReset: true, // or nobody is signed in any more
    maxWaitForLoad: 30_000,
    logLevel: "error",
  };
  for (const page of asked.pages) {
    const { lhr } = await lighthouse(page, flags, asked.form === "desktop" ? desktopConfig : undefined);
    const counted = Object.values(lhr.categories).flatMap((one) => one.auditRefs.filter((ref) => ref.weight > 0));
    const failed = counted
      .map((ref) => lhr.audits[ref.id])
      .filter((audit) => audit.score !== null && audit.score < 1)
      .map((audit) => `${audit.id}: ${JSON.stringify(audit.details?.items ?? audit.explanation).slice(0, 600)}`);
    if (lhr.runtimeError) failed.push(lhr.runtimeError.message);
    const scores = Object.fromEntries(Object.entries(lhr.categories).map(([name, one]) => [name, one.score]));
    console.log(JSON.stringify({ page, shown: lhr.finalDisplayedUrl, scores, failed }));
  }
} finally {
  await browser.close();
}
