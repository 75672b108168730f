import json

import pytest

from double import EAST, WEST, WITNESS, eventually
from errors import refused

QUEUE = "maip-prod-oncall.fifo"


def topic(region):
    return f"arn:aws:sns:{region}:123456789012:maip-prod-alerts.fifo"


@pytest.fixture
def sns(double):
    return double.client("sns", EAST)


@pytest.fixture
def sqs(double):
    return double.client("sqs", WITNESS)


def publish(client, message="failed over", key="run-1", group="maip", region=EAST, **more):
    return client.publish(
        TopicArn=topic(region), Message=message, MessageGroupId=group, MessageDeduplicationId=key, **more
    )


def url(sqs):
    return sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]


def receive(sqs, **more):
    answer = sqs.receive_message(QueueUrl=url(sqs), MaxNumberOfMessages=10, AttributeNames=["All"], **more)
    return answer.get("Messages", [])


def arrived(double):
    return [json.loads(one["body"])["Message"] for one in double.control("GET", f"queues/{QUEUE}")]


def test_a_notice_arrives_once_in_its_envelope(double, sns, sqs):
    answer = publish(sns, Subject="mesh")
    assert answer["SequenceNumber"]
    (message,) = receive(sqs)
    envelope = json.loads(message["Body"])
    assert envelope["Message"] == "failed over" and envelope["Subject"] == "mesh"
    assert (envelope["Type"], envelope["TopicArn"], envelope["MessageId"]) == ("Notification", topic(EAST), answer["MessageId"])
    assert message["Attributes"]["MessageDeduplicationId"] == "run-1"


def test_the_same_deduplication_id_is_delivered_once(double, sns):
    publish(sns)
    publish(sns, message="again")
    assert arrived(double) == ["failed over"]


def test_deduplication_lasts_its_time_only(double, sns):
    double.settings(fifo_deduplication_ms=200)
    publish(sns)
    count = eventually(lambda: publish(sns, message="later") and len(arrived(double)) > 1, "it is forgotten")
    assert count


def test_two_topics_share_the_queues_own_deduplication(double, sns):
    publish(sns)
    publish(double.client("sns", WEST), region=WEST)
    assert arrived(double) == ["failed over"]


def test_a_fifo_topic_needs_a_group_and_a_deduplication_id(sns):
    with refused("InvalidParameter", 400, "MessageGroupId"):
        sns.publish(TopicArn=topic(EAST), Message="x", MessageDeduplicationId="k")
    with refused("InvalidParameter", 400, "ContentBasedDeduplication"):
        sns.publish(TopicArn=topic(EAST), Message="x", MessageGroupId="g")


def test_a_topic_lives_in_its_region(double, sns):
    with refused("InvalidParameter"):
        publish(sns, region=WEST)
    with refused("NotFound", 404):
        sns.publish(TopicArn=f"arn:aws:sns:{EAST}:123456789012:gone.fifo", Message="x")
    assert [one["TopicArn"] for one in sns.list_topics()["Topics"]] == [topic(EAST)]


def test_a_notice_waits_for_the_queues_region(double, sns):
    double.region(WITNESS, "down")
    publish(sns)
    assert arrived(double) == []
    double.region(WITNESS, "up")
    eventually(lambda: arrived(double) == ["failed over"], "delivered")


def test_order_holds_within_a_group(sns, sqs):
    for number in range(3):
        publish(sns, message=f"a{number}", key=f"a{number}", group="a")
    publish(sns, message="b", key="b", group="b")
    first = sqs.receive_message(QueueUrl=url(sqs), MaxNumberOfMessages=1)["Messages"][0]
    rest = [json.loads(one["Body"])["Message"] for one in receive(sqs)]
    assert rest == ["b"], "group a waits for its message in flight"
    sqs.delete_message(QueueUrl=url(sqs), ReceiptHandle=first["ReceiptHandle"])
    assert [json.loads(one["Body"])["Message"] for one in receive(sqs)] == ["a1", "a2"]


def test_a_message_comes_back_when_its_visibility_is_over(sns, sqs):
    publish(sns)
    (first,) = receive(sqs)
    assert receive(sqs) == []
    sqs.change_message_visibility(QueueUrl=url(sqs), ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = receive(sqs)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_long_poll_ends_with_the_first_message(double, sns, sqs):
    assert receive(sqs, WaitTimeSeconds=0) == []
    publish(sns)
    assert len(receive(sqs, WaitTimeSeconds=20)) == 1
    attributes = sqs.get_queue_attributes(QueueUrl=url(sqs), AttributeNames=["All"])["Attributes"]
    assert (attributes["ApproximateNumberOfMessages"], attributes["ApproximateNumberOfMessagesNotVisible"]) == ("0", "1")


def test_a_queue_deduplicates_by_itself(sqs):
    one = sqs.send_message(QueueUrl=url(sqs), MessageBody="x", MessageGroupId="g", MessageDeduplicationId="k")
    two = sqs.send_message(QueueUrl=url(sqs), MessageBody="y", MessageGroupId="g", MessageDeduplicationId="k")
    assert one["MessageId"] == two["MessageId"] and one["SequenceNumber"] == two["SequenceNumber"]
    with refused("MissingParameter"):
        sqs.send_message(QueueUrl=url(sqs), MessageBody="x")
    with refused("AWS.SimpleQueueService.NonExistentQueue"):
        sqs.get_queue_url(QueueName="gone")
