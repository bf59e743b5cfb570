"""lmprog: compile typed LM programs into better ones, with proof of the gain."""

from importlib import import_module
from typing import TYPE_CHECKING

from lmprog import metrics as metrics
from lmprog.data import Splits as Splits
from lmprog.errors import ArtifactError as ArtifactError
from lmprog.errors import AuthError as AuthError
from lmprog.errors import CapabilityError as CapabilityError
from lmprog.errors import CapReached as CapReached
from lmprog.errors import ContextError as ContextError
from lmprog.errors import DataError as DataError
from lmprog.errors import InputError as InputError
from lmprog.errors import LMError as LMError
from lmprog.errors import LmprogError as LmprogError
from lmprog.errors import MetricError as MetricError
from lmprog.errors import OutputError as OutputError
from lmprog.errors import ParamsError as ParamsError
from lmprog.errors import RunDirError as RunDirError
from lmprog.errors import ScopeError as ScopeError
from lmprog.errors import SignatureError as SignatureError
from lmprog.errors import UnavailableError as UnavailableError
from lmprog.evaluation import Evaluation as Evaluation
from lmprog.evaluation import aevaluate as aevaluate
from lmprog.evaluation import evaluate as evaluate
from lmprog.inspection import inspect as inspect
from lmprog.lm import configure as configure
from lmprog.lm.ledger import Budget as Budget
from lmprog.metrics import Score as Score
from lmprog.module import Module as Module
from lmprog.module import params_of as params_of
from lmprog.module import predictors as predictors
from lmprog.module import signature_of as signature_of
from lmprog.module import using as using
from lmprog.module import with_params as with_params
from lmprog.params import Demo as Demo
from lmprog.params import Params as Params
from lmprog.params import PredictorParams as PredictorParams
from lmprog.predict import ChainOfThought as ChainOfThought
from lmprog.predict import Predict as Predict
from lmprog.request import LM as LM
from lmprog.request import Message as Message
from lmprog.request import Request as Request
from lmprog.request import Response as Response
from lmprog.scope import Step as Step
from lmprog.signature import InputField as InputField
from lmprog.signature import OutputField as OutputField
from lmprog.signature import Signature as Signature
from lmprog.signature import reasoning as reasoning
from lmprog.task import Published as Published
from lmprog.task import Task as Task
from lmprog.task import find_task as find_task
from lmprog.tools import NextCall as NextCall
from lmprog.tools import Tool as Tool
from lmprog.tools import Trajectory as Trajectory
from lmprog.tools import Turn as Turn

if TYPE_CHECKING:
    from lmprog.artifact import load as load
    from lmprog.artifact import save as save
    from lmprog.certificate import Certificate as Certificate
    from lmprog.compiler import CompileResult as CompileResult
    from lmprog.compiler import acompile as acompile
    from lmprog.compiler import compile as compile
    from lmprog.hub import Hub as Hub
    from lmprog.hub import Repository as Repository
    from lmprog.lm.local.client import Local as Local
    from lmprog.lm.openai import OpenAI as OpenAI
    from lmprog.lm.vllm import VLLM as VLLM
    from lmprog.planning.findings import Plan as Plan
    from lmprog.planning.plan import aplan as aplan
    from lmprog.planning.plan import plan as plan
    from lmprog.report.study import optuna_study as optuna_study
    from lmprog.retrieval import BM25 as BM25
    from lmprog.retrieval import Retriever as Retriever
    from lmprog.retrieval.http import HTTPRetriever as HTTPRetriever
    from lmprog.source import Dropped as Dropped
    from lmprog.source import Part as Part
    from lmprog.source import Source as Source
    from lmprog.strategies.best_of_n import BestOfN as BestOfN
    from lmprog.strategies.hooks import Hook as Hook
    from lmprog.strategies.hooks import Hooked as Hooked
    from lmprog.strategies.majority_vote import MajorityVote as MajorityVote
    from lmprog.strategies.multi_expert import MultiExpert as MultiExpert
    from lmprog.strategies.react import ReAct as ReAct
    from lmprog.strategies.refine import Refine as Refine
    from lmprog.tools.mcp import mcp_tools as mcp_tools
else:
    _LATER = {
        "load": "lmprog.artifact",
        "save": "lmprog.artifact",
        "Certificate": "lmprog.certificate",
        "CompileResult": "lmprog.compiler",
        "acompile": "lmprog.compiler",
        "compile": "lmprog.compiler",
        "Local": "lmprog.lm.local.client",
        "OpenAI": "lmprog.lm.openai",
        "VLLM": "lmprog.lm.vllm",
        "Plan": "lmprog.planning.findings",
        "aplan": "lmprog.planning.plan",
        "plan": "lmprog.planning.plan",
        "optuna_study": "lmprog.report.study",
        "ReAct": "lmprog.strategies.react",
        "BestOfN": "lmprog.strategies.best_of_n",
        "MajorityVote": "lmprog.strategies.majority_vote",
        "Refine": "lmprog.strategies.refine",
        "MultiExpert": "lmprog.strategies.multi_expert",
        "Hook": "lmprog.strategies.hooks",
        "Hooked": "lmprog.strategies.hooks",
        "Source": "lmprog.source",
        "Part": "lmprog.source",
        "Dropped": "lmprog.source",
        "Hub": "lmprog.hub",
        "Repository": "lmprog.hub",
        "mcp_tools": "lmprog.tools.mcp",
        "BM25": "lmprog.retrieval",
        "Retriever": "lmprog.retrieval",
        "HTTPRetriever": "lmprog.retrieval.http",
    }
    """Names by module that are loaded at first use, and numpy with them: a program that runs needs none of them."""

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module 'lmprog' has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(_LATER[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
