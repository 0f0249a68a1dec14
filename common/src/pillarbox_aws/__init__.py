"""AWS access shared by both services: credentials, calls to SQS, object stores."""
