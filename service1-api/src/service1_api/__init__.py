"""service1-api: takes e-mails over HTTP, checks them, and publishes them to SQS."""

SERVICE = "service1-api"
