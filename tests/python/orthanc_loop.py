"""Stores DICOM files in a server by STOW-RS and takes them back by WADO-RS; prints what differs as JSON.

    python orthanc_loop.py http://127.0.0.1:PORT/dicom-web FILE…

A list per file of the elements that are not as they were; empty when all are.
"""

import io
import json
import sys

import pydicom
from dicomweb_client.api import DICOMwebClient


def differences(sent, back):
    tags = set(sent.keys()) | set(back.keys())
    return sorted(str(tag) for tag in tags if tag not in sent or tag not in back or sent[tag] != back[tag])


def loop(client, path):
    sent = pydicom.dcmread(path)
    answer = client.store_instances([sent])
    assert not answer.get("FailedSOPSequence"), answer
    found = client.search_for_instances(search_filters={"SOPInstanceUID": sent.SOPInstanceUID})
    assert len(found) == 1, found
    back = client.retrieve_instance(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
    # Through bytes: some values are parsed late.
    bytes_back = io.BytesIO()
    back.save_as(bytes_back)
    return differences(sent, pydicom.dcmread(io.BytesIO(bytes_back.getvalue())))


if __name__ == "__main__":
    client = DICOMwebClient(url=sys.argv[1])
    result = {path: loop(client, path) for path in sys.argv[2:]}
    print(json.dumps(result))
