"""Writes events.tfevents, which test/report/tensorboard.test.ts compares with ours byte for byte: the scalars of events.json by
TensorBoard's own messages and record writer. With a file as argument, prints the scalars that TensorBoard reads from it, as JSON.
Made with tensorboard 2.21:  python make_events.py > /dev/null
"""
import json
import sys
from pathlib import Path

if len(sys.argv) > 1:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
    print(json.dumps({tag: [[e.wall_time, e.step, e.value] for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}))
else:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    here = Path(__file__).parent
    golden = json.loads((here / "events.json").read_text())
    writer = RecordWriter((here / "events.tfevents").open("wb"))
    writer.write(Event(wall_time=golden["startedAt"], file_version="brain.Event:2").SerializeToString())
    for entry in golden["scalars"]:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in entry["values"].items() if value is not None]
        event = Event(wall_time=entry["wallTime"], step=entry["step"], summary=Summary(value=values))
        writer.write(event.SerializeToString())
    writer.close()
