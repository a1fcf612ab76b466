// BullMQ with pooled nodemailer and a status row for each mail in PostgreSQL: `node bullmq.js work` or `launch`.
//
// As their documentation advises: a job for each mail, added in bulk; workers with a concurrency well above one, since
// the work is I/O; jobs removed when completed; one transporter with `pool: true` and `maxMessages: Infinity`; a pool of
// database connections; templates compiled once.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const path = require("node:path");

const load = (name) => require(require.resolve(name, { paths: [path.join(process.env.BENCH_NODE, "node_modules")] }));

const { Queue, Worker } = load("bullmq");
const Handlebars = load("handlebars");
const IORedis = load("ioredis");
const nodemailer = load("nodemailer");
const { Pool } = load("pg");

const NAME = "letters";
const BATCH = 1000; // jobs added at once
const connection = new IORedis({ path: process.env.BENCH_REDIS_SOCKET, maxRetriesPerRequest: null });
const database = new Pool({ connectionString: process.env.BENCH_DATABASE_URL, max: 10 });

async function work() {
  const letter = JSON.parse(fs.readFileSync(process.env.BENCH_LETTER, "utf8"));
  const subject = Handlebars.compile(letter.subject, { noEscape: true });
  const text = Handlebars.compile(letter.text, { noEscape: true });
  const html = Handlebars.compile(letter.html);
  const transporter = nodemailer.createTransport({
    host: "127.0.0.1",
    port: Number(process.env.BENCH_SMTP_PORT),
    secure: false,
    ignoreTLS: true,
    pool: true,
    maxConnections: Number(process.env.BENCH_CONNECTIONS),
    maxMessages: Infinity,
  });
  const worker = new Worker(
    NAME,
    async ({ data }) => {
      const info = await transporter.sendMail({
        from: "Training <training@rollcall.example>",
        to: { name: `${data.first_name} ${data.last_name}`, address: data.email },
        subject: subject(data),
        text: text(data),
        html: html(data),
      });
      await database.query(
        "UPDATE recipients SET status = 'sent', sent_at = clock_timestamp(), message_id = $2 WHERE recipient = $1",
        [data.recipient, info.messageId],
      );
    },
    { connection, concurrency: Number(process.env.BENCH_CONCURRENCY) },
  );
  await worker.waitUntilReady();
  console.log("ready");
}

async function launch() {
  const queue = new Queue(NAME, {
    connection,
    defaultJobOptions: {
      attempts: 5,
      backoff: { type: "exponential", delay: 1000 },
      removeOnComplete: true,
      removeOnFail: { age: 3600 },
    },
  });
  await queue.waitUntilReady();
  await database.query("SELECT 1");
  console.log("ready");
  for await (const _line of readline.createInterface({ input: process.stdin })) {
    const { rows } = await database.query(
      "SELECT recipient, email, first_name, last_name, username FROM recipients ORDER BY recipient",
    );
    for (let first = 0; first < rows.length; first += BATCH) {
      await queue.addBulk(rows.slice(first, first + BATCH).map((data) => ({ name: "letter", data })));
    }
  }
  process.exit(0);
}

const modes = { work, launch };
modes[process.argv[2]]();
