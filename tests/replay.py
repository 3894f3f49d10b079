"""What a run executed, worked out again from its record alone, in plain sums: the oracle of the ledger."""

from fractions import Fraction

KINDS = ("forward", "activation_gradient", "weight_gradient", "dense_weight_gradient")
TAKES_DENSE_GRADIENT = {
    "rigl", "snip", "snip-global", "rigl-2-4", "srigl", "srigl-unablated", "rigl-itop", "granet", "granet-global",
}  # fmt: skip
OBSERVES = {"snfs", "snfs-redistributed"}


def executed_by_layer(record):
    """Layer -> kind -> FLOPs: 2 per multiply-add of an active connection, for each sample that went through.

    What a run diverged in counts as what it was.
    """
    events = [event | {"kind": event.get("during", event["kind"])} for event in record.events()]
    batch = record.config.recipe.batch_size
    return {layer["name"]: _layer(layer, events, batch, record.config.method) for layer in record.layers}


def _layer(layer, events, batch, method):
    cost = Fraction(2 * layer["macs"], layer["size"]) * batch
    active = counts_before(layer, events)
    account = dict.fromkeys(KINDS, 0)
    for event in events:
        if event["kind"] == "train":
            steps = event["stop"] - event["start"]
            for kind in KINDS[:2] if method in OBSERVES else KINDS[:3]:
                account[kind] += cost * active * steps
            account["dense_weight_gradient"] += cost * layer["size"] * steps if method in OBSERVES else 0
        if event["kind"] == "update":
            if method in TAKES_DENSE_GRADIENT:
                account["forward"] += cost * active
                account["activation_gradient"] += cost * active
                account["dense_weight_gradient"] += cost * layer["size"]
            active = event["layers"][layer["name"]]["active"]
    return account


def counts_before(layer, events):
    """Active connections of a layer at the start: what its first update left, undone."""
    changes = [event["layers"][layer["name"]] for event in events if event["kind"] == "update"]
    return changes[0]["active"] - changes[0]["grown"] + changes[0]["dropped"] if changes else layer["active"]


def iterations(events):
    """The iterations of a run in the order in which their batches were consumed."""
    for event in events:
        if event["kind"] == "train":
            yield from range(event["start"], event["stop"])
        elif event["kind"] == "update" and event["replaces_step"]:
            yield event["iteration"]
