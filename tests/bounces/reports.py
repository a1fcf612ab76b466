"""What mail systems send back, written by us in their manners. Addresses are of .example, wherever they come from."""

from collections.abc import Callable
from dataclasses import dataclass

#: The copy of the mail that a report carries.
RETURNED = """\
Return-Path: <{returns_to}>
From: Acme <learning@rollcall.example>
To: {address}
Subject: About news
Message-ID: <0123456789@rollcall.example>
Feedback-ID: news:acme:announcement:rollcall

Hello, remember what 550 5.1.1 means.
"""


@dataclass(frozen=True)
class Came:
    """A message that comes back: its envelope sender, the message itself."""

    message: bytes
    sender: str = ""


def came(text: str, sender: str = "", **said: str) -> Came:
    """A message as it travels."""
    return Came(text.replace("{returned}", RETURNED).format(**said).replace("\n", "\r\n").encode(), sender)


def postfix(
    returns_to: str,
    address: str,
    *,
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <{address}>: user unknown",
    action: str = "failed",
) -> Came:
    """Postfix: three parts, a delivery status in two groups, the mail itself."""
    return came(
        """\
Date: Tue, 13 Jan 2026 10:00:00 +0100 (CET)
From: MAILER-DAEMON@mx.rollcall.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {returns_to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4F5A61C0D3.1768294800/mx.rollcall.example"
Content-Transfer-Encoding: 8bit
Message-Id: <20260113090000.1B2C3D4E5F@mx.rollcall.example>

This is a MIME-encapsulated message.

--4F5A61C0D3.1768294800/mx.rollcall.example
Content-Description: Notification
Content-Type: text/plain; charset=utf-8

This is the mail system at host mx.rollcall.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

--4F5A61C0D3.1768294800/mx.rollcall.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.rollcall.example
X-Postfix-Queue-ID: 4F5A61C0D3
X-Postfix-Sender: rfc822; {returns_to}
Arrival-Date: Tue, 13 Jan 2026 09:59:58 +0100 (CET)

Final-Recipient: rfc822; {address}
Original-Recipient: rfc822;{address}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.school.example
Diagnostic-Code: {diagnostic}

--4F5A61C0D3.1768294800/mx.rollcall.example
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

{returned}
--4F5A61C0D3.1768294800/mx.rollcall.example--
""",
        returns_to=returns_to,
        address=address,
        status=status,
        diagnostic=diagnostic.replace("{address}", address),
        action=action,
    )


def exim(returns_to: str, address: str) -> Came:
    """Exim: a status that says nothing, and what the server said in folded lines."""
    return came(
        """\
Return-path: <>
Received: from Debian-exim by mail.school.example with local (Exim 4.96)
	id 1tXyzA-000abc-1B
	for {returns_to};
	Tue, 13 Jan 2026 09:00:01 +0000
X-Failed-Recipients: {address}
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mail.school.example>
To: {returns_to}
Content-Type: multipart/report; report-type=delivery-status; boundary=1768294801-eximdsn-1804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender

--1768294801-eximdsn-1804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

  {address}
    host mx.school.example [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<{address}>:
    550 5.1.1 Mailbox unknown

--1768294801-eximdsn-1804289383
Content-type: message/delivery-status

Reporting-MTA: dns; mail.school.example

Action: failed
Final-Recipient: rfc822;{address}
Status: 5.0.0
Remote-MTA: dns; mx.school.example
Diagnostic-Code: smtp; 550-5.1.1 The mailbox you wrote to
 550 5.1.1 is not here [192.0.2.7]

--1768294801-eximdsn-1804289383
Content-type: text/rfc822-headers

{returned}
--1768294801-eximdsn-1804289383--
""",
        returns_to=returns_to,
        address=address,
    )


def exchange(returns_to: str, address: str, *, status: str = "5.1.10", code: str = "550 5.1.10") -> Came:
    """Exchange: HTML in base64 first, no blank before a value, and names where others have none."""
    return came(
        """\
From: <postmaster@school.example>
To: <{returns_to}>
Date: Tue, 13 Jan 2026 09:00:02 +0000
Content-Type: multipart/report; report-type=delivery-status;
	boundary="_000_b8f2c1DB7PR01MB0001school_"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-US
Subject: Undeliverable: About news
Auto-Submitted: auto-replied
MIME-Version: 1.0

--_000_b8f2c1DB7PR01MB0001school_
Content-Type: multipart/alternative; differences=Content-Type;
	boundary="_001_b8f2c1DB7PR01MB0001school_"

--_001_b8f2c1DB7PR01MB0001school_
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Delivery has failed to these recipients or groups:=20

--_001_b8f2c1DB7PR01MB0001school_
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: base64

PGh0bWw+PGJvZHk+RGVsaXZlcnkgaGFzIGZhaWxlZDwvYm9keT48L2h0bWw+Cg==

--_001_b8f2c1DB7PR01MB0001school_--

--_000_b8f2c1DB7PR01MB0001school_
Content-Type: message/delivery-status

Reporting-MTA: dns;DB7PR01MB0001.prod.exchangelabs.example
Received-From-MTA: dns;mx.rollcall.example
Arrival-Date: Tue, 13 Jan 2026 09:00:00 +0000

Final-Recipient: rfc822;{address}
Action: failed
Status: {status}
Diagnostic-Code: smtp;{code} RESOLVER.ADR.RecipientNotFound; Recipient {address} not found by SMTP address lookup
X-Display-Name: Jan de Vries

--_000_b8f2c1DB7PR01MB0001school_
Content-Type: message/rfc822

{returned}
--_000_b8f2c1DB7PR01MB0001school_--
""",
        returns_to=returns_to,
        address=address,
        status=status,
        code=code,
    )


def gmail(returns_to: str, address: str, *, status: str = "5.1.1", action: str = "failed") -> Came:
    """Gmail: pictures around the words, and a diagnostic of several folded lines."""
    return came(
        """\
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>
To: {returns_to}
Auto-Submitted: auto-replied
Subject: Delivery Status Notification ({action})
Content-Type: multipart/report; boundary="000000000000a1b2c305f0e1d2c3"; report-type=delivery-status

--000000000000a1b2c305f0e1d2c3
Content-Type: multipart/related; boundary="000000000000a1b2d405f0e1d2c9"

--000000000000a1b2d405f0e1d2c9
Content-Type: multipart/alternative; boundary="000000000000a1b2d505f0e1d2ca"

--000000000000a1b2d505f0e1d2ca
Content-Type: text/plain; charset="UTF-8"

** Address not found **

--000000000000a1b2d505f0e1d2ca
Content-Type: text/html; charset="UTF-8"

<p>Address not found</p>
--000000000000a1b2d505f0e1d2ca--
--000000000000a1b2d405f0e1d2c9
Content-Type: image/png; name="icon.png"
Content-Disposition: attachment; filename="icon.png"
Content-Transfer-Encoding: base64
Content-ID: <icon.png>

iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=
--000000000000a1b2d405f0e1d2c9--
--000000000000a1b2c305f0e1d2c3
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.example
Arrival-Date: Tue, 13 Jan 2026 01:00:00 -0800 (PST)
X-Original-Message-ID: <0123456789@rollcall.example>

Final-Recipient: rfc822; {address}
Action: {action}
Status: {status}
Remote-MTA: dns; gmail-smtp-in.l.google.example. (192.0.2.26, the server for the domain.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces. - gsmtp
Last-Attempt-Date: Tue, 13 Jan 2026 01:00:01 -0800 (PST)

--000000000000a1b2c305f0e1d2c3
Content-Type: message/rfc822

{returned}
--000000000000a1b2c305f0e1d2c3--
""",
        returns_to=returns_to,
        address=address,
        status=status,
        action=action,
    )


def ses(returns_to: str, address: str) -> Came:
    """Amazon SES: fields in an order of its own."""
    return came(
        """\
From: MAILER-DAEMON@eu-west-1.amazonses.example
To: {returns_to}
Subject: Delivery Status Notification (Failure)
MIME-Version: 1.0
Content-Type: multipart/report; boundary="=_ses-bounce"; report-type="delivery-status"
X-Amazon-Mail-Relay: Yes

--=_ses-bounce
Content-Type: text/plain; charset=us-ascii

An error occurred while trying to deliver the mail to the following recipients:
{address}

--=_ses-bounce
Content-Type: message/delivery-status

Reporting-MTA: dns; a8-50.smtp-out.eu-west-1.amazonses.example

Action: failed
Final-Recipient: rfc822; {address}
Diagnostic-Code: smtp; 550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table
Status: 5.1.1


--=_ses-bounce
Content-Type: message/rfc822

{returned}
--=_ses-bounce--
""",
        returns_to=returns_to,
        address=address,
    )


def complaint(returns_to: str, address: str, *, feedback: str = "abuse") -> Came:
    """A complaint as Yahoo passes it on (ARF): who complained is left out, what they complain of is not."""
    return came(
        """\
From: Yahoo! Mail AntiSpam Feedback <feedback@arf.mail.yahoo.example>
To: fbl@rollcall.example
Subject: FW: About news
Date: Tue, 13 Jan 2026 09:30:00 +0000
MIME-Version: 1.0
Content-Type: multipart/report; boundary="------------ARF_0007"; report-type=feedback-report

--------------ARF_0007
Content-Type: text/plain; charset=us-ascii
Content-Disposition: inline
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message from rollcall.example on Tue, 13 Jan 2026 09:00:00 +0000

--------------ARF_0007
Content-Type: message/feedback-report
Content-Disposition: inline

Feedback-Type: {feedback}
User-Agent: Yahoo!-Mail-Feedback/2.0
Version: 0.1
Original-Mail-From: <{returns_to}>
Original-Rcpt-To: <redacted@yahoo.example>
Received-Date: Tue, 13 Jan 2026 09:00:00 +0000
Reported-Domain: rollcall.example
Authentication-Results: mta.yahoo.example dkim=pass

--------------ARF_0007
Content-Type: message/rfc822
Content-Disposition: inline

{returned}
--------------ARF_0007--
""",
        "feedback@arf.mail.yahoo.example",
        returns_to=returns_to,
        address=address,
        feedback=feedback,
    )


def qmail(returns_to: str, address: str, *, said: str = "550 #5.1.1 sorry, no mailbox here by that name") -> Came:
    """qmail: prose, and the mail below a line."""
    return came(
        """\
Date: 13 Jan 2026 09:00:00 -0000
From: MAILER-DAEMON@mail.school.example
To: {returns_to}
Subject: failure notice

Hi. This is the qmail-send program at mail.school.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<{address}>:
{said}

--- Below this line is a copy of the message.

{returned}
""",
        returns_to=returns_to,
        address=address,
        said=said,
    )


def out_of_office(returns_to: str, address: str, *, sender: str = "") -> Came:
    """Somebody is on holiday; some servers send that with the null sender."""
    return came(
        """\
From: <{address}>
To: <{returns_to}>
Subject: Automatic reply: About news
Auto-Submitted: auto-generated
X-Auto-Response-Suppress: All
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"

I am away until the 5.1.26. Call 550 5050 if it cannot wait. Version 5.1.1 is out on Monday.
""",
        sender,
        returns_to=returns_to,
        address=address,
    )


#: What makes a report of an envelope sender and an address.
System = Callable[[str, str], Came]

ALL: tuple[System, ...] = (postfix, exim, exchange, gmail, ses, complaint, qmail, out_of_office)
