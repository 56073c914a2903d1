"""Test an orchestration offline: a scripted model for real agents."""

from midflight.testing.fake.agent import FakeAgent as FakeAgent
from midflight.testing.fake.agent import FakeModel as FakeModel
from midflight.testing.model.script import Drop as Drop
from midflight.testing.model.script import HttpError as HttpError
from midflight.testing.model.script import Malformed as Malformed
from midflight.testing.model.script import Mark as Mark
from midflight.testing.model.script import ModelRequest as ModelRequest
from midflight.testing.model.script import ServiceCall as ServiceCall
from midflight.testing.model.script import Silence as Silence
from midflight.testing.model.script import Step as Step
from midflight.testing.model.script import Stop as Stop
from midflight.testing.model.script import StreamError as StreamError
from midflight.testing.model.script import Text as Text
from midflight.testing.model.script import Thinking as Thinking
from midflight.testing.model.script import ToolCall as ToolCall
from midflight.testing.model.script import Usage as Usage
from midflight.testing.model.script import Wait as Wait
from midflight.testing.model.script import Words as Words
from midflight.testing.model.script import usage_limit as usage_limit
from midflight.testing.model.server import ScriptedModel as ScriptedModel

__all__ = [
    "Drop",
    "FakeAgent",
    "FakeModel",
    "HttpError",
    "Malformed",
    "Mark",
    "ModelRequest",
    "ScriptedModel",
    "ServiceCall",
    "Silence",
    "Step",
    "Stop",
    "StreamError",
    "Text",
    "Thinking",
    "ToolCall",
    "Usage",
    "Wait",
    "Words",
    "usage_limit",
]
