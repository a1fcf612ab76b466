"""Mail, beside what it is measured against: Postfix's smtp-source, and what others build mailings with."""
