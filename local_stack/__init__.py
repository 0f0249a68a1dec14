"""The whole pipeline on one machine, without Docker: an AWS emulator, the CloudFormation stack, both services."""
