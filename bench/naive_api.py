"""The simple implementation for comparison: Flask, and one boto3 SendMessage per request."""

import os
import uuid
from typing import Any

import boto3
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
sqs = boto3.client("sqs", region_name=os.environ["AWS_REGION"])
ssm = boto3.client("ssm", region_name=os.environ["AWS_REGION"])
queue_url = os.environ["SQS_QUEUE_URL"]
token = ssm.get_parameter(Name=os.environ["SSM_PARAMETER_NAME"], WithDecryption=True)["Parameter"]["Value"]
FIELDS = ("email_subject", "email_sender", "email_timestream", "email_content")


@app.post("/api/message")
def message() -> tuple[Response, int]:
    """Check token and fields, then send."""
    body: dict[str, Any] = request.get_json()
    if body.get("token") != token:
        return jsonify(error="unauthorized"), 401
    data = body.get("data", {})
    if not all(data.get(field) for field in FIELDS):
        return jsonify(error="missing fields"), 400
    message_id = str(uuid.uuid4())
    sqs.send_message(QueueUrl=queue_url, MessageBody=app.json.dumps(data | {"message_id": message_id}))
    return jsonify(status="success", message_id=message_id), 200
