"""What is done for a person at Box beside the login: the steps, and who works on them."""

from sso_box_api.furnishing.plan import Kind, Wanted, forget_former, plan
from sso_box_api.furnishing.work import (
    Step,
    StepState,
    Taken,
    done,
    drop,
    give_back,
    hurry,
    mark_ours,
    paths_of,
    put_off,
    set_due,
    skip,
    steps_of,
    take_due,
)

__all__ = [
    "Kind",
    "Step",
    "StepState",
    "Taken",
    "Wanted",
    "done",
    "drop",
    "forget_former",
    "give_back",
    "hurry",
    "mark_ours",
    "paths_of",
    "plan",
    "put_off",
    "set_due",
    "skip",
    "steps_of",
    "take_due",
]
