"""A collection of what comes back, written by us in the public formats of many mail systems, all details replaced.

`STATUS` are reports with fields (RFC 3464): what the reporting server gave as status, the words of the server that
refused, what it means. `PROSE` are reports written for people: who wrote it, its subject, its text. `ANSWERS` are
answers that machines give for people, `COMPLAINTS` what providers pass on.
"""

# ruff: noqa: E501, ISC004 - texts as they come, of several lines, between others

from tasks.bounces.rules import BounceKind, Ignored

HARD, SOFT, BLOCKED = BounceKind.HARD, BounceKind.SOFT, BounceKind.BLOCKED
LATE = Ignored.NO_FAILURE

STATUS: tuple[tuple[str, str, BounceKind | Ignored], ...] = (
    # Nobody is there.
    ("5.1.1", "smtp; 550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual alias table", HARD),
    ("5.1.1", "smtp; 550 5.1.1 <{to}>... User unknown", HARD),
    (
        "5.1.1",
        "smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try\n 550-5.1.1 double-checking"
        " the recipient's email address for typos or\n 550 5.1.1 unnecessary spaces. Learn more - gsmtp",
        HARD,
    ),
    ("5.0.0", "smtp; 550 No such user here", HARD),
    ("5.0.0", "smtp; 550 unknown user", HARD),
    ("5.5.0", "smtp; 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)", HARD),
    (
        "5.4.1",
        "smtp; 550 5.4.1 Recipient address rejected: Access denied. [AM1EUR01.prod.protection.outlook.example]",
        HARD,
    ),
    ("5.1.351", "smtp; 550 5.1.351 Remote server returned unknown recipient or mailbox unavailable", HARD),
    ("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup", HARD),
    ("5.1.1", "smtp;550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found", HARD),
    ("5.1.1", "smtp; 550 #5.1.1 RESOLVER.ADR.RecipNotFound; not found ##", HARD),
    ("5.0.0", "X-Notes; User jan ({to}) not listed in Domino Directory", HARD),
    ("5.0.0", "x-unix; User unknown", HARD),
    ("5.1.1", "", HARD),
    ("5.1.1 (bad destination mailbox address)", "", HARD),
    ("5.1.2", "", HARD),
    ("5.1.2", "DNS; Host not found", HARD),
    (
        "5.4.4",
        "X-Postfix; Host or domain name not found. Name service error for name=nowhere.example type=AAAA: Host not found",
        HARD,
    ),
    ("5.4.4 (Illegal host/domain name found)", "", HARD),
    ("5.4.4", "x-postfix; unable to look up host nowhere.example: nodename nor servname provided, or not known", SOFT),
    ("5.1.6", "smtp; 551 5.1.6 Recipient no longer here", HARD),
    (
        "5.1.10",
        "smtp; 556 5.1.10 Recipient address rejected: Domain nowhere.example does not accept mail (nullMX)",
        HARD,
    ),
    ("5.2.1", "", HARD),
    ("5.2.1", "smtp; 550 5.2.1 <{to}>... User Unknown", HARD),
    ("5.7.1", "smtp; 550 5.7.1 <{to}>: No such user", HARD),
    ("5.0.0", "smtp; 554 delivery error: dd This user doesn't have a yahoo.example account ({to}) [-20]", HARD),
    ("5.1.0", "smtp; 550 #5.1.0 Address rejected.", HARD),
    ("5.0.0", "smtp; 550-5.1.1 The mailbox you wrote to\n 550 5.1.1 is not here", HARD),
    ("5.3.0", "smtp; 553 5.3.0 <{to}>... No such user here", HARD),
    ("5.2.0", "smtp; 550 5.2.0 No such mailbox", HARD),
    ("5.0.0", "smtp; 511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", HARD),
    ("5.0.0", "smtp; 550 Recipient address rejected: user not found", HARD),
    ("5.1.1", "smtp; 550 Mailbox not found", HARD),
    ("5.0.0", "smtp; 550 5.1.1 sid=01234567891 Addressee unknown, relay=[192.0.2.1]", HARD),
    ("5.1.1", "smtp; 550 Invalid recipient {to}", HARD),
    ("5.1.3", "smtp; 501 5.1.3 Bad recipient address syntax", HARD),
    ("5.0.0", "smtp; 550 El usuario no existe", HARD),
    ("5.0.0", "smtp; 550 Utilisateur inconnu !", HARD),
    ("5.0.0", "smtp; 550 5.1.1 <{to}> Benutzer existiert nicht", HARD),
    ("5.0.0", "smtp; 550 Unrouteable address", HARD),
    ("5.4.310", "smtp; 550 5.4.310 DNS domain nowhere.example does not exist [Message=InfoDomainNonexistent]", HARD),
    ("5.0.0", "smtp; 550 5.1.1 Account closed", HARD),
    # Full, disabled, slow, lost on the way: not now.
    ("5.2.2", "smtp; 552 5.2.2 Mailbox full", SOFT),
    ("5.2.2", "smtp; 552 5.2.2 The email account that you tried to reach is over quota - gsmtp", SOFT),
    ("5.1.1", "smtp; 550 5.1.1 <{to}>: over quota", SOFT),
    ("5.0.0", "smtp; 550 mailbox is full", SOFT),
    (
        "5.2.0",
        "smtp; 550 5.2.0 STOREDRV.Deliver; delivery result banner: QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
        SOFT,
    ),
    ("5.7.1", "smtp; 550 5.7.1 recipient over quota", SOFT),
    ("4.2.2", "smtp; 452 4.2.2 full", SOFT),
    (
        "5.2.1",
        "smtp; 550-5.2.1 The email account that you tried to reach is disabled. Learn\n 550 5.2.1 more at - gsmtp",
        SOFT,
    ),
    ("5.0.0", "smtp; 554 delivery error: dd This account has been temporarily suspended", SOFT),
    ("5.1.1", "smtp; 550 5.1.1 mailbox temporarily disabled", SOFT),
    ("4.4.7", "smtp; 400 4.4.7 Message delayed", SOFT),
    ("5.4.7", "smtp;550 5.4.7 QUEUE.Expired; message expired", SOFT),
    ("4.4.1", "X-Postfix; connect to mx.school.example[192.0.2.7]:25: Connection timed out", SOFT),
    (
        "4.4.3",
        "X-Postfix; Host or domain name not found. Name service error for name=x.example type=MX: Host not found, try again",
        SOFT,
    ),
    ("5.4.1", "smtp; 550 5.4.1 no answer from host", SOFT),
    ("5.4.6", "smtp; 554 5.4.6 Too many hops", SOFT),
    ("5.4.14", "smtp; 554 5.4.14 Hop count exceeded - possible mail loop ATTR34", SOFT),
    ("5.3.0", "x-unix; Command died with status 1", SOFT),
    ("5.0.0", "smtp; 550 no", SOFT),
    ("5.0.0", "", SOFT),
    ("", "", SOFT),
    ("5.0.0", "smtp; 554 Transaction failed", SOFT),
    ("4.1.1", "smtp; 450 4.1.1 <{to}>: Recipient address rejected: unverified address", SOFT),
    ("4.2.0", "smtp; 450 4.2.0 <{to}>: Recipient address rejected: Greylisted", SOFT),
    ("5.0.0", "smtp; 450 4.1.1 <{to}>: User unknown", SOFT),
    # About us.
    ("5.7.1", "smtp; 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", BLOCKED),
    ("5.1.1", "smtp; 550 5.1.1 <{to}>: 192.0.2.1 is listed at bl.spamcop.net", BLOCKED),
    ("5.1.1", "smtp; 550 5.1.1 <{to}>: rate limit exceeded", BLOCKED),
    ("5.1.1", "smtp; 550 rejected by our block list", BLOCKED),
    ("5.1.1", "smtp; 550 5.7.1 blocked by policy", BLOCKED),
    ("5.1.1", "smtp; 550 5.1.1 too many messages from your host", BLOCKED),
    ("5.1.1", "smtp; 550 message content rejected as spam", BLOCKED),
    (
        "5.7.1",
        "smtp; 550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block list",
        BLOCKED,
    ),
    (
        "5.7.26",
        "smtp; 550-5.7.26 Unauthenticated email from rollcall.example is not accepted due to\n 550 5.7.26 domain's DMARC policy",
        BLOCKED,
    ),
    (
        "5.7.1",
        "smtp; 550-5.7.1 Our system has detected that this message is likely unsolicited mail.\n 550 5.7.1 - gsmtp",
        BLOCKED,
    ),
    (
        "5.7.0",
        "smtp; 552-5.7.0 This message was blocked because its content presents a potential\n 552 5.7.0 security issue",
        BLOCKED,
    ),
    ("5.7.23", "smtp; 550 5.7.23 The message was rejected because of Sender Policy Framework violation", BLOCKED),
    ("5.7.124", "smtp; 550 5.7.124 RESOLVER.RST.NotAuthorized; sender not in allowed-senders list", BLOCKED),
    ("5.7.1", "smtp; 550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", BLOCKED),
    ("5.7.606", "smtp; 550 5.7.606 Access denied, banned sending IP [192.0.2.1]", BLOCKED),
    ("5.7.1", "smtp; 554 5.7.1 <{to}>: Relay access denied", BLOCKED),
    ("5.0.0", "smtp; 550 relay not permitted", BLOCKED),
    ("5.0.0", "smtp; 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", BLOCKED),
    ("5.0.0", "smtp; 550 Sender verify failed", BLOCKED),
    (
        "5.0.0",
        "smtp; 550-Verification failed for <us@rollcall.example>\n 550-No Such User Here\n 550 Sender verify failed",
        BLOCKED,
    ),
    ("5.1.8", "smtp; 553 5.1.8 Domain of sender address does not exist", BLOCKED),
    ("5.1.7", "", BLOCKED),
    ("5.2.3", "smtp; 552 5.2.3 Message length exceeds administrative limit", BLOCKED),
    ("5.3.4", "smtp; 552 5.3.4 Message size exceeds fixed maximum message size", BLOCKED),
    ("5.6.0", "smtp; 550 5.6.0 headers not acceptable", BLOCKED),
    ("5.5.2", "", BLOCKED),
    ("5.4.5", "smtp; 550 5.4.5 Daily user sending limit exceeded", BLOCKED),
    ("5.0.0", "smtp; 554 Message rejected: Email address is not verified.", BLOCKED),
    (
        "5.0.0",
        "smtp; 554 Your access to this mail system has been rejected due to the sending MTA's poor reputation",
        BLOCKED,
    ),
    ("5.0.0", "smtp; 550 Administrative prohibition", BLOCKED),
    ("4.7.0", "smtp; 421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints", BLOCKED),
)

QMAIL = "Hi. This is the qmail-send program at mail.school.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<{to}>:\n"
QMAIL_COPY = "\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <us@rollcall.example>\nSubject: About news\n\nuser unknown, mailbox full, spam, 550 5.1.1\n"
YAHOO = "Sorry, we were unable to deliver your message to the following address.\n\n<{to}>:\n"
YAHOO_COPY = "\n\n--- Below this line is a copy of the message.\n\nSubject: About news\n"
EXIM = "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  {to}\n"
EXIM_COPY = "\n\n------ This is a copy of the message, including all the headers. ------\n\nReturn-path: <us@rollcall.example>\nSubject: About news\n\nuser unknown\n"
EXCHANGE = "Your message\n\n  To:      {to}\n  Subject: About news\n  Sent:    Tue, 13 Jan 2026 10:00:00 +0100\n\ndid not reach the following recipient(s):\n\n{to} on Tue, 13 Jan 2026 10:00:01 +0100\n    "
NOTES = "Your message\n\n  Subject: About news\n\nwas not delivered to:\n\n  {to}\n\nbecause:\n\n  "
GMAIL = (
    "Delivery to the following recipient failed permanently:\n\n     {to}\n\nTechnical details of permanent failure: \n"
)
GMAIL_COPY = "\n\n----- Original message -----\n\nSubject: About news\n\nno such user\n"
ZOHO = "This message was created automatically by mail delivery software.\n A message that you sent could not be delivered to one or more of its recipients. This is a permanent error. \n\n"
ZOHO_COPY = "\n\nReceived:from mail.zoho.example by mx.zohomail.example\nSubject:About news\n"
SENDMAIL = "The original message was received at Tue, 13 Jan 2026 10:00:00 +0100\nfrom mx.rollcall.example [192.0.2.1]\n\n   ----- The following addresses had permanent fatal errors -----\n<{to}>\n\n   ----- Transcript of session follows -----\n... while talking to mx.school.example.:\n>>> RCPT To:<{to}>\n<<< "
POSTFIX = "This is the Postfix program at host mx.rollcall.example.\n\nI'm sorry to have to inform you that your message could not be\nbe delivered to one or more recipients. It's attached below.\n\nFor further assistance, please send mail to <postmaster>\n\nIf you do so, please include this problem report. You can\ndelete your own text from the attached returned message.\n\n\t\t\tThe Postfix program\n\n<{to}>: host mx.school.example[192.0.2.7] said: "

DAEMON = "MAILER-DAEMON@mail.school.example"
POSTMASTER = "postmaster@school.example"

PROSE: tuple[tuple[str, str, str, BounceKind | Ignored], ...] = (
    # qmail
    (DAEMON, "failure notice", QMAIL + "Sorry, no mailbox here by that name. (#5.1.1)" + QMAIL_COPY, HARD),
    (
        DAEMON,
        "failure notice",
        QMAIL
        + "192.0.2.7 does not like recipient.\nRemote host said: 550 5.1.1 <{to}>... User unknown\nGiving up on 192.0.2.7."
        + QMAIL_COPY,
        HARD,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL
        + "192.0.2.7 does not like recipient.\nRemote host said: 550 unknown user\nGiving up on 192.0.2.7."
        + QMAIL_COPY,
        HARD,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL + "Sorry, I couldn't find any host named nowhere.example. (#5.1.2)" + QMAIL_COPY,
        HARD,
    ),
    (DAEMON, "failure notice", QMAIL + "This address no longer accepts mail." + QMAIL_COPY, HARD),
    (
        DAEMON,
        "failure notice",
        QMAIL + "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)" + QMAIL_COPY,
        HARD,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL
        + "User and password not set, continuing without authentication.\n<{to}> 192.0.2.7 failed after I sent the message.\nRemote host said: 554 5.7.1 spam"
        + QMAIL_COPY,
        BLOCKED,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL + "192.0.2.7 failed after I sent the message.\nRemote host said: 552 5.2.2 mailbox full" + QMAIL_COPY,
        SOFT,
    ),
    (DAEMON, "failure notice", QMAIL + "user is over quota" + QMAIL_COPY, SOFT),
    (
        DAEMON,
        "failure notice",
        QMAIL
        + "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)\nI'm not going to try again; this message has been in the queue too long."
        + QMAIL_COPY,
        SOFT,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL
        + "Connected to 192.0.2.7 but sender was rejected.\nRemote host said: 550 5.7.1 <us@rollcall.example>... Access denied"
        + QMAIL_COPY,
        BLOCKED,
    ),
    (
        DAEMON,
        "failure notice",
        QMAIL + "Sorry, that domain isn't in my list of allowed rcpthosts. (#5.7.1)" + QMAIL_COPY,
        BLOCKED,
    ),
    (DAEMON, "failure notice", QMAIL + "vdelivermail: account is locked email bounced" + QMAIL_COPY, SOFT),
    # Yahoo
    (
        "MAILER-DAEMON@yahoo.example",
        "Failure Notice",
        YAHOO
        + "Remote host said:\n554 delivery error: dd This user doesn't have a yahoo.example account ({to}) [0] [RCPT_TO]"
        + YAHOO_COPY,
        HARD,
    ),
    (
        "MAILER-DAEMON@yahoo.example",
        "Failure Notice",
        YAHOO + "Remote host said:\n550 5.1.1 <{to}>... User unknown [RCPT_TO]" + YAHOO_COPY,
        HARD,
    ),
    (
        "MAILER-DAEMON@yahoo.example",
        "Failure Notice",
        YAHOO + 'Mail server for "nowhere.example" unreachable for too long' + YAHOO_COPY,
        SOFT,
    ),
    (
        "MAILER-DAEMON@yahoo.example",
        "Failure Notice",
        YAHOO
        + "Remote host said:\n554 delivery error: dd Sorry, your message to {to} cannot be delivered. This account is over quota."
        + YAHOO_COPY,
        SOFT,
    ),
    # Old Exim
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM
        + "    SMTP error from remote mailer after RCPT TO:<{to}>:\n    host mx.school.example [192.0.2.7]: 550 5.1.1 <{to}>... User unknown"
        + EXIM_COPY,
        HARD,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM + '    unknown local-part "jan" in domain "school.example"' + EXIM_COPY,
        HARD,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM + "    Unrouteable address" + EXIM_COPY,
        HARD,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM + "    all relevant MX records point to non-existent hosts" + EXIM_COPY,
        HARD,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM + "    retry timeout exceeded" + EXIM_COPY,
        SOFT,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM + "    mailbox is full (MTA-imposed quota exceeded while writing to file /var/mail/jan)" + EXIM_COPY,
        SOFT,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Mail delivery failed: returning message to sender",
        EXIM
        + "    SMTP error from remote mailer after RCPT TO:<{to}>:\n    host mx.school.example [192.0.2.7]: 550 relay not permitted"
        + EXIM_COPY,
        BLOCKED,
    ),
    (
        "Mail Delivery System <Mailer-Daemon@x.example>",
        "Warning: message 1tXyzA-000abc-1B delayed 24 hours",
        "This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mail.school.example.\n\nNo action is required on your part. Delivery attempts will continue for\nsome time.",
        LATE,
    ),
    # Exchange 5.5, 2000 and 2003
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE
        + "The recipient name is not recognized\n\tThe MTS-ID of the original message is: c=xx;a= ;p=school;l=MAIL-260113\n    MSEXCH:IMS:SCHOOL:SITE:MAIL 0 (000C05A6) Unknown Recipient",
        HARD,
    ),
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE
        + "The e-mail account does not exist at the organization this message was sent to.  Check the e-mail address, or contact the recipient directly to find out the correct address.\n            <mail.school.example #5.1.1>",
        HARD,
    ),
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE
        + "There was a SMTP communication problem with the recipient's email server.  Please contact your system administrator.\n            <mail.school.example #5.5.0 smtp;550 5.1.1 User unknown>",
        HARD,
    ),
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE + "The recipient's mailbox is full.\n            <mail.school.example #5.2.2>",
        SOFT,
    ),
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE
        + "You do not have permission to send to this recipient.  For assistance, contact your system administrator.\n            <mail.school.example #5.7.1 smtp;550 5.7.1 Unable to relay for {to}>",
        BLOCKED,
    ),
    (
        "System Administrator <postmaster@school.example>",
        "Undeliverable: About news",
        EXCHANGE
        + "Could not deliver the message in the time limit specified.  Please retry or contact your administrator.\n            <mail.school.example #4.4.7>",
        SOFT,
    ),
    # Notes and Domino
    (
        "Postmaster@school.example",
        "DELIVERY FAILURE: User jan ({to}) not listed in public Name & Address Book",
        NOTES + "User jan ({to}) not listed in public Name & Address Book",
        HARD,
    ),
    (
        "Postmaster@school.example",
        "DELIVERY FAILURE: User jan not listed in Domino Directory",
        NOTES + "User jan ({to}) not listed in Domino Directory",
        HARD,
    ),
    (
        "POSTMASTER@gw.school.example",
        "Undeliverable message",
        "------- Failure Reasons  --------\n\nUser  not listed in public Name & Address Book\n{to}\n\n\n------- Returned Message --------\nReceived: from x\nSubject: About news\n",
        HARD,
    ),
    ("Postmaster@school.example", "DELIVERY FAILURE: 552 Mailbox full", NOTES + "552 5.2.2 Mailbox full", SOFT),
    (
        "Postmaster@school.example",
        "DELIVERY FAILURE: Error transferring to MX.EXAMPLE; Maximum hop count exceeded",
        NOTES + "Error transferring to MX.EXAMPLE; Maximum hop count exceeded.  Message probably in a routing loop.",
        SOFT,
    ),
    # Gmail, as it was
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL
        + "Google tried to deliver your message, but it was rejected by the recipient domain. The error that the other server returned was: 550 550 5.1.1 User unknown (state 14)."
        + GMAIL_COPY,
        HARD,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL
        + "Google tried to deliver your message, but it was rejected by the server for the recipient domain. The error that the other server returned was: 550 #5.1.0 Address rejected."
        + GMAIL_COPY,
        HARD,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL + "DNS Error: Domain name not found" + GMAIL_COPY,
        HARD,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL.replace("permanent failure", "temporary failure")
        + "The recipient server did not accept our requests to connect. Learn more at http://support.example\n[mx.school.example. (1): Connection timed out]"
        + GMAIL_COPY,
        SOFT,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL
        + "Google tried to deliver your message, but it was rejected by the recipient domain. The error that the other server returned was: 554 554 5.7.0 Header error (state 18)."
        + GMAIL_COPY,
        BLOCKED,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Failure)",
        GMAIL
        + "Message rejected.  Please visit http://www.google.example/mail/help/bulk_mail.html to review our Bulk Email Senders Guidelines."
        + GMAIL_COPY,
        BLOCKED,
    ),
    (
        "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
        "Delivery Status Notification (Delay)",
        "This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\nYOU DO NOT NEED TO RESEND YOUR MESSAGE.\n\nDelivery to the following recipient has been delayed:\n\n     {to}",
        LATE,
    ),
    # Zoho
    (
        "mailer-daemon@mail.zoho.example",
        "Undelivered Mail Returned to Sender",
        ZOHO
        + "{to} Invalid Address, ERROR_CODE :550, ERROR_CODE :Requested action not taken: mailbox unavailable"
        + ZOHO_COPY,
        HARD,
    ),
    (
        "mailer-daemon@mail.zoho.example",
        "Undelivered Mail Returned to Sender",
        ZOHO + "{to} Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 <{to}>... User Unknown" + ZOHO_COPY,
        HARD,
    ),
    (
        "mailer-daemon@mail.zoho.example",
        "Undelivered Mail Returned to Sender",
        ZOHO + "[Status: Error, Address: <{to}>, ResponseCode 421, , Host not reachable.]" + ZOHO_COPY,
        SOFT,
    ),
    (
        "mailer-daemon@mail.zoho.example",
        "Undelivered Mail Returned to Sender",
        ZOHO + "{to} ERROR_CODE :552, ERROR_CODE :5.2.2 mailbox full" + ZOHO_COPY,
        SOFT,
    ),
    # Sendmail and Postfix without fields
    (
        "Mail Delivery Subsystem <MAILER-DAEMON@x.example>",
        "Returned mail: see transcript for details",
        SENDMAIL + "550 5.1.1 <{to}>... User unknown\n550 5.1.1 <{to}>... User unknown\n",
        HARD,
    ),
    (
        "Mail Delivery Subsystem <MAILER-DAEMON@x.example>",
        "Returned mail: Host unknown (Name server: nowhere.example: host not found)",
        SENDMAIL.partition("... while")[0]
        + "550 5.1.2 <{to}>... Host unknown (Name server: nowhere.example: host not found)\n",
        HARD,
    ),
    (
        "Mail Delivery Subsystem <MAILER-DAEMON@x.example>",
        "Returned mail: see transcript for details",
        SENDMAIL + "552 5.2.2 <{to}>... Mailbox full\n",
        SOFT,
    ),
    (
        "Mail Delivery Subsystem <MAILER-DAEMON@x.example>",
        "Returned mail: see transcript for details",
        SENDMAIL + "550 5.7.1 <{to}>... Relaying denied\n",
        BLOCKED,
    ),
    (
        "Mail Delivery Subsystem <MAILER-DAEMON@x.example>",
        "Warning: could not send message for past 4 hours",
        "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n    **********************************************\n\n   ----- The following addresses had transient non-fatal errors -----\n<{to}>\n",
        LATE,
    ),
    (
        "MAILER-DAEMON@x.example (Mail Delivery System)",
        "Undelivered Mail Returned to Sender",
        POSTFIX + "550\n    <{to}>: User unknown (in reply to RCPT TO command)",
        HARD,
    ),
    (
        "MAILER-DAEMON@x.example (Mail Delivery System)",
        "Undelivered Mail Returned to Sender",
        POSTFIX
        + "554 5.7.1\n    Service unavailable; Client host [192.0.2.1] blocked using bl.spamcop.net (in reply to RCPT TO command)",
        BLOCKED,
    ),
    # Others
    (
        "postmaster@relay.school.example",
        'Undeliverable Mail: "About news"',
        "Your message:\n   From:    us@rollcall.example\n   Subject: About news\n\nCould not be delivered because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected: \n    {to}\n",
        HARD,
    ),
    (
        '"Mail Deliver System" <MAILER-DAEMON>',
        "Returned Mail: User unknown",
        "The original message was received at Thu, 29 Apr 2011 23:34:45 +0900\nfrom us@rollcall.example\n\n---The following addresses had delivery errors---\n\n{to} [User unknown]\n",
        HARD,
    ),
    (
        "postmaster@icloud.example",
        "Delivery Notification: Delivery has failed",
        "This report relates to a message you sent with the following header fields:\n\nYour message cannot be delivered to the following recipients:\n\n  Recipient address: {to}\n  Reason: Remote SMTP server has rejected address\n  Diagnostic code: smtp;550 5.1.1 unknown or illegal alias: {to}\n",
        HARD,
    ),
    (
        "Mail Administrator <Postmaster@isp.example>",
        "Mail System Error - Returned Mail",
        "This Message was undeliverable due to the following reason:\n\nEach of the following recipients was rejected by a remote mail server.\nThe reasons given by the server are included to help you determine why\neach recipient was rejected.\n\n    Recipient: <{to}>\n    Reason:    5.1.1 <{to}>... User unknown\n",
        HARD,
    ),
    (
        "MDaemon@x.example",
        "Permanent Delivery Failure",
        "The attached message had PERMANENT fatal delivery errors!\n\nFailed address: {to}\n\n--> RCPT To:<{to}>\n<-- 550 5.1.1 <{to}>, Recipient unknown\n",
        HARD,
    ),
    (
        "postmaster@gmx.example",
        "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of\nits recipients. This is a permanent error. The following address\nfailed:\n\n{to}:\nSMTP error from remote server for RCPT TO command, host: mx.school.example (192.0.2.7) reason: 550 Requested action not taken: mailbox unavailable\n",
        HARD,
    ),
    (
        "postmaster@gmx.example",
        "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of\nits recipients. This is a permanent error. The following address\nfailed:\n\n{to}:\nSMTP error from remote server after transfer of mail text, host: mx.school.example (192.0.2.7) reason: 554 5.7.1 spam rejected\n",
        BLOCKED,
    ),
    (
        "mailer-daemon@mail.ru.example",
        "Mail failure.",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  {to}\n    user not found\n",
        HARD,
    ),
    (
        "MAILER-DAEMON@x.example",
        "Delivery failure",
        "Message could not be delivered to {to}:\nmailbox size limit exceeded\n",
        SOFT,
    ),
)

#: What a machine answers for a person: its fields besides From, and its text; each quotes what a bounce says.
ANSWERS: tuple[tuple[dict[str, str], str], ...] = (
    (
        {"Subject": "Automatic reply: About news", "X-Auto-Response-Suppress": "All"},
        "I am away. 550 5.1.1 user unknown",
    ),
    (
        {"Subject": "Out of Office: About news"},
        "My mailbox does not exist any more from 1 March. 550 5.1.1 User unknown",
    ),
    ({"Subject": "Out of Office AutoReply: About news"}, "550 No such user here"),
    ({"Subject": "Re: About news", "Auto-Submitted": "auto-replied (vacation)"}, "user unknown 550 5.1.1"),
    ({"Subject": "Re: About news", "X-Autoreply": "yes"}, "550 5.1.1 no such user"),
    (
        {"Subject": "Re: About news", "Precedence": "auto_reply"},
        "Hi. This is the qmail-send program.\n\n550 5.1.1 unknown user",
    ),
    ({"Subject": "Abwesenheitsnotiz: About news"}, "Ich bin nicht da. 550 5.1.1 User unknown"),
    ({"Subject": "Réponse automatique : About news"}, "Je suis absent. 550 utilisateur inconnu"),
    ({"Subject": "Respuesta automática: About news"}, "550 el usuario no existe"),
    ({"Subject": "Afwezig: About news"}, "550 5.1.1 User unknown"),
    ({"Subject": "Risposta automatica: About news"}, "550 utente sconosciuto"),
    ({"Subject": "Auto: About news"}, "I have left the company: this account is closed. 550 5.1.1"),
    ({"Subject": "Thank you for contacting us"}, "Your message could not be delivered: 550 5.1.1 No such user"),
    ({"Subject": "I am on leave"}, "550 5.1.1 No such user"),
    ({"Subject": "Vacation"}, "550 5.1.1 No such user"),
    ({"Subject": "About news", "Auto-Submitted": "auto-replied"}, "Not here. 550 5.1.1 No such user"),
    (
        {"Subject": "Automatic reply: Undeliverable: About news", "Auto-Submitted": "auto-generated"},
        "550 5.1.1 No such user",
    ),
    ({"Subject": "Undeliverable: About news (away)", "Auto-Submitted": "auto-replied"}, "550 5.1.1 No such user"),
)
