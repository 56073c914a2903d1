"""Test an orchestration offline: a scripted model for real agents."""

from midflight.testing.fake import FakeAgent as FakeAgent
from midflight.testing.fake_model import FakeModel as FakeModel
from midflight.testing.model_server import ScriptedModel as ScriptedModel
from midflight.testing.script import Drop as Drop
from midflight.testing.script import HttpError as HttpError
from midflight.testing.script import Malformed as Malformed
from midflight.testing.script import Mark as Mark
from midflight.testing.script import ModelRequest as ModelRequest
from midflight.testing.script import Silence as Silence
from midflight.testing.script import Step as Step
from midflight.testing.script import Stop as Stop
from midflight.testing.script import StreamError as StreamError
from midflight.testing.script import Text as Text
from midflight.testing.script import Thinking as Thinking
from midflight.testing.script import ToolCall as ToolCall
from midflight.testing.script import Usage as Usage
from midflight.testing.script import Wait as Wait
from midflight.testing.script import Words as Words
from midflight.testing.script import usage_limit as usage_limit

__all__ = [
    "Drop",
    "FakeAgent",
    "FakeModel",
    "HttpError",
    "Malformed",
    "Mark",
    "ModelRequest",
    "ScriptedModel",
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
