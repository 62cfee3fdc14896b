"""Makes the same calls through a provider's own library, bare or with OpenTelemetry's instrumentation of it.

    client.py LIBRARY --url URL [--spans FILE]

With `--spans` the library is instrumented, and each span is a line of JSON in the file. What the run is of is told on standard
output: the packages, then each case as it begins.
"""

import argparse
import importlib.metadata
import json
import os

import calls

PACKAGES = {
    "openai": ("openai", "opentelemetry-instrumentation-genai-openai"),
    "anthropic": ("anthropic", "opentelemetry-instrumentation-genai-anthropic"),
    "google": ("google-genai", "opentelemetry-instrumentation-google-genai"),
    "bedrock": ("boto3", "opentelemetry-instrumentation-genai-bedrock"),
}


def instrument(library: str, path: str) -> None:
    """Instruments a library; its spans go to the file as they end."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class File(SpanExporter):
        def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
            with open(path, "a", encoding="utf-8") as file:
                file.writelines(span.to_json(indent=None) + "\n" for span in spans)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(File()))
    trace.set_tracer_provider(provider)
    if library == "openai":
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as Instrumentor
    elif library == "anthropic":
        from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor as Instrumentor
    elif library == "google":
        from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor as Instrumentor
    else:
        from opentelemetry.instrumentation.genai.bedrock import BedrockInstrumentor as Instrumentor
    Instrumentor().instrument()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=PACKAGES)
    parser.add_argument("--url", required=True, help="the provider's, without a path")
    parser.add_argument("--spans", metavar="FILE")
    args = parser.parse_args()
    if args.spans:
        instrument(args.library, args.spans)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES[args.library]}
    print(json.dumps({"packages": versions}), flush=True)
    for name, call in getattr(calls, args.library)(args.url).items():
        print(json.dumps({"case": name}), flush=True)
        call()


main()
