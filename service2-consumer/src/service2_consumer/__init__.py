"""Takes e-mails from SQS and keeps each in S3, exactly once."""
