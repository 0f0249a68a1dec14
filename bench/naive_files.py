"""The simple file intake for comparison: boto3 with its defaults and the standard library's parser."""

import json
import os
import uuid
from datetime import UTC, datetime
from email import message_from_bytes, policy
from urllib.parse import unquote_plus

import boto3


def main() -> None:
    """Consume until killed."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    queue_url, bucket = os.environ["SQS_QUEUE_URL"], os.environ["S3_BUCKET_NAME"]
    while True:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", []):
            for event in json.loads(message["Body"])["Records"]:
                source, key = event["s3"]["bucket"]["name"], unquote_plus(event["s3"]["object"]["key"])
                content = s3.get_object(Bucket=source, Key=key)["Body"].read()
                email = message_from_bytes(content, policy=policy.default)
                text = email.get_body(("plain", "html"))
                now = datetime.now(UTC)
                document = {
                    "processed_at": now.isoformat(),
                    "email_data": {
                        "email_subject": str(email["subject"]),
                        "email_sender": str(email["from"]),
                        "email_timestream": str(int(email["date"].datetime.timestamp())),
                        "email_content": text.get_content() if text else "",
                    },
                    "attachments": [
                        {"file_name": part.get_filename(), "content_type": part.get_content_type()}
                        for part in email.iter_attachments()
                    ],
                }
                s3.put_object(
                    Bucket=bucket,
                    Key=f"messages/{now:%Y/%m/%d}/{uuid.uuid4()}.json",
                    Body=json.dumps(document).encode(),
                    ContentType="application/json",
                )
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
