import json
import logging

logging.getLogger().setLevel(logging.INFO)
visits = 0  # lives as long as this instance


def handler(event, context):
    global visits
    visits += 1
    logging.info("%s has %d ms left", context.function_name, context.get_remaining_time_in_millis())
    if "name" not in event:
        raise KeyError("name")
    return {"greeting": f"Hello, {event['name']}!", "visits": visits}
