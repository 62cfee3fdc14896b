"""A shop with the OpenTelemetry SDK and no plainspan: spans and a metric that keep its contract, or (`wrong`) break it.

Sends over HTTP to OTEL_EXPORTER_OTLP_ENDPOINT, which the SDK reads itself.
"""

import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

wrong = "wrong" in sys.argv[1:]
resource = Resource.create({"service.name": "checkout"})

traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = traces.get_tracer("shop")
for number in range(20):
    item = f"item-{number}"
    with tracer.start_as_current_span(f"buy {item}", kind=SpanKind.CLIENT) as span:
        span.set_attribute("shop.item", item)
        span.set_attribute("shop.price", 2.5)
        span.set_attribute("shop.paid.by", ["card", "cash"][number % 2])
        # Another library's, of which the contract says nothing.
        span.set_attribute("http.request.method", "POST")
if wrong:
    with tracer.start_as_current_span("purchase item-1", kind=SpanKind.SERVER) as span:
        span.set_attribute("shop.item", "item-1")
        span.set_attribute("shop.price", "two fifty")
        span.set_attribute("shop.paid.by", "shells")
        span.set_attribute("shop.discuont", 1)
    with tracer.start_as_current_span("buy item-2", kind=SpanKind.CLIENT) as span:
        span.set_attribute("shop.article", "item-2")
        span.set_attribute("shop.price", 2.5)
traces.shutdown()

reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=60_000)
metrics = MeterProvider(metric_readers=[reader], resource=resource)
meter = metrics.get_meter("shop")
meter.create_counter("shop.sales", unit="{euro}" if not wrong else "ct").add(1, {"shop.paid.by": "card"})
metrics.shutdown()
