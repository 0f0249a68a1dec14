"""service1-api: accepts e-mails over HTTP, validates them, and publishes them to SQS."""

SERVICE = "service1-api"
