"""The AWS side that both services share: credentials, and calls to SQS."""
