"""The simple consumer for comparison: boto3 with its defaults; it receives ten, then PUTs and deletes one by one."""

import json
import os
import uuid
from datetime import UTC, datetime

import boto3


def main() -> None:
    """Consume until killed."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    queue_url, bucket = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            email = json.loads(message["Body"])
            now = datetime.now(UTC)
            document = {"message_id": message["MessageId"], "processed_at": now.isoformat(), "email_data": email}
            s3.put_object(
                Bucket=bucket,
                Key=f"messages/{now:%Y/%m/%d}/{uuid.uuid4()}.json",
                Body=json.dumps(document).encode(),
                ContentType="application/json",
            )
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
