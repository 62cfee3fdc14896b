"""What is known of one call, under the names of the conventions and with the decisions of our contract.

Of these decisions: finish reasons have the same words for every provider; input tokens include cached ones and output tokens
include reasoning, whatever the provider's own count; the type of an error is the provider's code of it, else its own type
of error, else the HTTP status.
"""

from dataclasses import dataclass, field
from typing import Any

WORDS = {
    "stop": "stop end_turn stop_sequence complete eos eos_token finish endoftext",
    "length": "length max_tokens model_length model_context_window_exceeded max_output_tokens error_limit",
    "tool_call": "tool_calls function_call tool_use tool_call",
    "content_filter": "content_filter content_filtered guardrail_intervened refusal safety recitation language blocklist"
    " prohibited_content spii image_safety error_toxic",
    "pause": "pause_turn",
    "compaction": "compaction",
    "error": "error malformed_function_call unexpected_tool_call other failed cancelled",
}
REASONS = {word: reason for reason, words in WORDS.items() for word in words.split()}


def finish_reason(word: str) -> str:
    """The contract's word for a provider's; one that is new passes in lower case."""
    return REASONS.get(word.lower(), word.lower())


def error_type(code: Any, kind: Any, status: int) -> str:
    """What names an error: the first of these that is there."""
    return next((str(name) for name in (code, kind) if name not in (None, "")), str(status))


@dataclass
class Usage:
    """Token counts; `None` where the answer has none."""

    input: int | None = None
    """Cached ones included."""
    output: int | None = None
    """Reasoning included."""
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@dataclass
class Call:
    """One call, as far as it is compared."""

    provider: str
    operation: str
    request_model: str | None = None
    stream: bool = False
    id: str | None = None
    model: str | None = None
    reasons: list[str] = field(default_factory=list)
    """The provider's own words, one per choice; empty for a choice whose answer broke off."""
    ours: list[str] | None = None
    """The contract's words where they follow from more than the provider's."""
    usage: Usage = field(default_factory=Usage)
    error: str | None = None

    def attributes(self) -> dict[str, Any]:
        """The attributes of its span; what is not known is not there."""
        usage = self.usage
        ours = self.ours or [finish_reason(reason) if reason else "error" for reason in self.reasons]
        all_of_them = {
            "gen_ai.operation.name": self.operation,
            "gen_ai.provider.name": self.provider,
            "gen_ai.system": self.provider,
            "gen_ai.request.model": self.request_model,
            "gen_ai.request.stream": True if self.stream else None,
            "gen_ai.response.id": self.id,
            "gen_ai.response.model": self.model,
            "gen_ai.response.finish_reasons": ours or None,
            "plainspan.response.finish_reasons": self.reasons if any(self.reasons) else None,
            "gen_ai.usage.input_tokens": usage.input,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
            "gen_ai.usage.cache_write.input_tokens": usage.cache_write,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
            "gen_ai.usage.audio.input_tokens": usage.audio_input,
            "gen_ai.usage.audio.output_tokens": usage.audio_output,
            "error.type": self.error,
        }
        # Some write a number of tokens as 28.0.
        whole = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in all_of_them.items()}
        return {name: value for name, value in whole.items() if value not in (None, "")}

    def name(self) -> str:
        """The span's name."""
        return f"{self.operation} {self.request_model}" if self.request_model else self.operation
