"""E-mails that arrive as objects in S3: event messages and e-mail files. Pure: no I/O."""
