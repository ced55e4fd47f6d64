"""Everything that is done at Box: authenticate, mint, narrow, revoke, users.

Called by the modules above with plain values; knows nothing of identities, accounts
or the database. The way down: users, content, sharing → api → auth → transport →
answers.
"""

from sso_box_api.box.api import Ensured
from sso_box_api.box.budget import CallKind
from sso_box_api.box.connection import open_transport
from sso_box_api.box.content import Content, Item
from sso_box_api.box.credentials import BoxCredentials, load_credentials
from sso_box_api.box.deadline import Rank, ranked, within
from sso_box_api.box.diagnosis import Check, diagnose
from sso_box_api.box.failures import (
    ConflictAtBox,
    InvalidResource,
    NotFoundAtBox,
    NoVerdict,
    OutcomeUnknown,
    RefusedByBox,
    SubjectTokenRejected,
)
from sso_box_api.box.names import item_name, short_name
from sso_box_api.box.patience import patiently
from sso_box_api.box.sharing import (
    Collaboration,
    GranteeType,
    Group,
    Membership,
    Role,
    Sharing,
)
from sso_box_api.box.tokens import BoxToken, Downscoped, Grant
from sso_box_api.box.transport import CallOutcome, CountCall
from sso_box_api.box.users import BoxUser, Standing, UserAttributes, Users


class Box(Users, Content, Sharing):
    """One Box app in one enterprise, over one HTTP client that the caller closes."""


__all__ = [
    "Box",
    "BoxCredentials",
    "BoxToken",
    "BoxUser",
    "CallKind",
    "CallOutcome",
    "Check",
    "Collaboration",
    "ConflictAtBox",
    "CountCall",
    "Downscoped",
    "Ensured",
    "Grant",
    "GranteeType",
    "Group",
    "InvalidResource",
    "Item",
    "Membership",
    "NoVerdict",
    "NotFoundAtBox",
    "OutcomeUnknown",
    "Rank",
    "RefusedByBox",
    "Role",
    "Standing",
    "SubjectTokenRejected",
    "UserAttributes",
    "diagnose",
    "item_name",
    "load_credentials",
    "open_transport",
    "patiently",
    "ranked",
    "short_name",
    "within",
]
