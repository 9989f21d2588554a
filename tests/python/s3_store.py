"""Serves files as a store that speaks S3 and checks every signature (moto), for the tests of wsi-reader.

python s3_store.py BUCKET FILE…

Puts the files into a bucket, prints one line of JSON (the endpoint, the keys of a user, those of a role with their session
token), and serves until its standard input ends.
"""

import json
import logging
import sys
import urllib.request
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

# The number of requests, sent there, that need no signature.
CHECK_FROM_NOW_ON = "/moto-api/reset-auth"
REGION = "us-east-1"


def client(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="anybody",
        aws_secret_access_key="anything",
    )


def allow_all():
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def user_keys(iam):
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=allow_all())
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    return {"id": keys["AccessKeyId"], "secret": keys["SecretAccessKey"]}


def role_keys(iam, sts):
    role = iam.create_role(RoleName="night", AssumeRolePolicyDocument=allow_all())["Role"]
    iam.put_role_policy(RoleName="night", PolicyName="all", PolicyDocument=allow_all())
    keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="night")["Credentials"]
    return {
        "id": keys["AccessKeyId"],
        "secret": keys["SecretAccessKey"],
        "token": keys["SessionToken"],
    }


def main():
    bucket, *files = sys.argv[1:]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    store, iam, sts = (client(service, endpoint) for service in ["s3", "iam", "sts"])
    store.create_bucket(Bucket=bucket)
    for file in map(Path, files):
        store.put_object(Bucket=bucket, Key=f"slides/{file.name}", Body=file.read_bytes())
    told = {"endpoint": endpoint, "user": user_keys(iam), "role": role_keys(iam, sts)}
    check_signatures(endpoint)
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    server.stop()


def check_signatures(endpoint):
    kind = {"Content-Type": "text/plain"}
    request = urllib.request.Request(endpoint + CHECK_FROM_NOW_ON, data=b"0", headers=kind)
    urllib.request.urlopen(request).close()


if __name__ == "__main__":
    main()
