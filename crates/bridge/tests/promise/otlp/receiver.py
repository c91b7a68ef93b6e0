"""Receives traces by OTLP over HTTP, as OpenTelemetry's own messages read them.

receiver.py STATUS...: the statuses that it answers with, one after the other, the last one for ever. Prints its port, and then one line
of JSON for each span of a request that it took.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

statuses = [int(status) for status in sys.argv[1:]]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def told(span, resource, headers):
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "status": Status.StatusCode.Name(span.status.code),
        "message": span.status.message,
        "resource": attributes(resource.attributes),
        "key": headers.get("x-collector-key"),
    }


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        request = ExportTraceServiceRequest.FromString(body)
        is_right = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        if status == 200 and is_right and not unknown(request):
            for group in request.resource_spans:
                for scope in group.scope_spans:
                    for span in scope.spans:
                        print(json.dumps(told(span, group.resource, self.headers)), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def unknown(request):
    """Whether something in it is not of the official files: it is lost when it is written anew."""
    known = ExportTraceServiceRequest()
    known.CopyFrom(request)
    known.DiscardUnknownFields()
    return known.SerializeToString() != request.SerializeToString()


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
