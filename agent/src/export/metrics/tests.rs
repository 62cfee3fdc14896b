use std::sync::Mutex;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::metric::Data,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Request, Response, Status};

use super::*;
use crate::{
    contract::Profile,
    export::{Protocol, Tls},
    genai::{Call, Usage},
    metrics::Limits,
};

fn counted() -> (Arc<Metrics>, Origin) {
    let metrics = Arc::new(Metrics::new(Limits::default(), Timestamp::now()));
    let mut call = Call { start: Timestamp(0), end: Timestamp(30_000_000), ..Call::default() };
    call.request.model = Some("gpt-4o \"\\\n".into());
    call.usage = Usage { input: Some(5), ..Usage::default() };
    metrics.add(
        &call,
        None,
        (Some("app"), None),
        Some(([0xab; 16], [0xcd; 8])),
        Timestamp(1_700_000_000_123_000_000),
    );
    (metrics, Origin { profile: Profile::DEFAULT, host_name: None, extra: Vec::new() })
}

#[derive(Clone, Default)]
struct Collector {
    taken: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    answers: Arc<Mutex<Vec<tonic::Code>>>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        if let Some(code) = self.answers.lock().unwrap().pop() {
            self.taken.lock().unwrap().push(ExportMetricsServiceRequest::default());
            return Err(Status::new(code, "no"));
        }
        self.taken.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Collector {
    async fn at_work(&self) -> Push {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder().add_service(MetricsServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        let config = OtlpConfig {
            protocol: Protocol::Grpc,
            endpoint,
            timeout: Duration::from_secs(5),
            compression: None,
            headers: Vec::new(),
            tls: Tls::default(),
        };
        Push { config, interval: Duration::from_millis(20) }
    }
}

async fn outputs(push: Option<Push>, prometheus: Option<&str>) -> (MetricOutputs, Arc<Account>) {
    let (metrics, origin) = counted();
    let prometheus = prometheus.map(|address| address.parse().unwrap());
    let settings = MetricSettings { push, prometheus, schema_url: "https://example.com/1" };
    let account = Arc::new(Account::default());
    (MetricOutputs::start(metrics, origin, settings, Arc::clone(&account)).await.unwrap(), account)
}

#[tokio::test]
async fn metrics_are_pushed_again_and_again_and_at_the_end() {
    let collector = Collector::default();
    let (outputs, account) = outputs(Some(collector.at_work().await), None).await;
    while collector.taken.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    outputs.shutdown(Duration::from_secs(5)).await;
    assert_eq!(account.get(crate::account::Counter::MetricsNotPushed), 0);
    let taken = collector.taken.lock().unwrap();
    let resource = &taken.last().unwrap().resource_metrics[0];
    assert_eq!(resource.schema_url, "https://example.com/1");
    let metric =
        resource.scope_metrics[0].metrics.iter().find(|m| m.name == "gen_ai.client.inference.duration");
    let Some(Data::Histogram(histogram)) = metric.unwrap().data.as_ref() else { panic!("{metric:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((histogram.aggregation_temporality, point.count, point.sum), (2, 1, Some(0.03)));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!((point.bucket_counts[2], &*point.exemplars[0].span_id), (1, &[0xcd; 8][..]));
    assert!(point.start_time_unix_nano < point.time_unix_nano);
}

#[tokio::test]
async fn a_failure_costs_time_and_one_who_takes_none_is_left_alone() {
    let collector = Collector::default();
    collector.answers.lock().unwrap().push(tonic::Code::PermissionDenied);
    let (running, account) = outputs(Some(collector.at_work().await), None).await;
    while collector.taken.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.shutdown(Duration::from_secs(5)).await;
    assert_eq!(account.get(crate::account::Counter::MetricsNotPushed), 1);
    assert!(!collector.taken.lock().unwrap().last().unwrap().resource_metrics.is_empty());

    let collector = Collector::default();
    collector.answers.lock().unwrap().extend([tonic::Code::Unimplemented; 3]);
    let (running, account) = outputs(Some(collector.at_work().await), None).await;
    while account.get(crate::account::Counter::MetricsNotPushed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.shutdown(Duration::from_secs(5)).await;
    assert_eq!(collector.taken.lock().unwrap().len(), 1);
}

async fn scrape(address: SocketAddr, path: &str, accept: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn prometheus_gets_the_format_that_it_asks_for() {
    let (outputs, _) = outputs(None, Some("127.0.0.1:0")).await;
    let address = outputs.prometheus().unwrap();
    let plain = scrape(address, "/metrics", "*/*").await;
    assert!(plain.starts_with("HTTP/1.1 200") && plain.contains("text/plain; version=0.0.4"), "{plain}");
    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o \\\"\\\\\\n\"";
    for line in [
        "# TYPE gen_ai_client_inference_duration_seconds histogram".to_owned(),
        "# TYPE plainspan_calls_kept_total counter".to_owned(),
        "plainspan_calls_kept_total{service_name=\"app\"} 1".to_owned(),
        format!(
            "gen_ai_client_inference_duration_seconds_bucket{{service_name=\"app\",{labels},gen_ai_system=\"openai\",le=\"0.02\"}} 0\n"
        ),
        format!(
            "gen_ai_client_inference_duration_seconds_bucket{{service_name=\"app\",{labels},gen_ai_system=\"openai\",le=\"0.04\"}} 1\n"
        ),
        format!(
            "gen_ai_client_inference_duration_seconds_bucket{{service_name=\"app\",{labels},gen_ai_system=\"openai\",le=\"+Inf\"}} 1\n"
        ),
        format!(
            "gen_ai_client_inference_duration_seconds_sum{{service_name=\"app\",{labels},gen_ai_system=\"openai\"}} 0.03"
        ),
        format!(
            "gen_ai_client_inference_usage_input_tokens_total{{service_name=\"app\",{labels},gen_ai_system=\"openai\"}} 5"
        ),
    ] {
        assert!(plain.contains(&line), "{line}\n{plain}");
    }
    assert!(!plain.contains("trace_id") && !plain.contains("# EOF"));
    let open =
        scrape(address, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    let exemplar = format!(
        "le=\"0.04\"}} 1 # {{trace_id=\"{}\",span_id=\"{}\"}} 0.03 1700000000.123\n",
        "ab".repeat(16),
        "cd".repeat(8)
    );
    assert!(open.contains(&exemplar) && open.ends_with("# EOF\n"), "{open}");
    assert!(open.contains("# TYPE plainspan_calls_kept counter\n") && open.contains("# UNIT "), "{open}");
    assert!(scrape(address, "/", "*/*").await.starts_with("HTTP/1.1 404"));
    // A second agent cannot have the same address.
    let (metrics, origin) = counted();
    let settings = MetricSettings { push: None, prometheus: Some(address), schema_url: "" };
    let error =
        MetricOutputs::start(metrics, origin, settings, Arc::default()).await.unwrap_err().to_string();
    assert!(error.contains("another agent"), "{error}");
    outputs.shutdown(Duration::from_secs(1)).await;
}

const E: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const T: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const M: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

#[test]
fn the_environment_says_whether_metrics_are_pushed() {
    let push = |variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Push::from_env(&find).map(|push| push.map(|push| (push.config.endpoint, push.interval.as_millis())))
    };
    let some = |endpoint: &str, interval| Some((endpoint.to_owned(), interval));
    for (variables, expected) in [
        (&[][..], some("http://localhost:4317", 60_000)),
        (&[(E, "http://c:4318")], some("http://c:4318/v1/metrics", 60_000)),
        (&[(T, "http://c:4317")], None),
        (&[(T, "http://c:4317"), (M, "http://m:4317")], some("http://m:4317", 60_000)),
        (&[(T, "http://c:4317"), ("OTEL_METRICS_EXPORTER", "otlp")], some("http://localhost:4317", 60_000)),
        (&[(E, "http://c:4317"), ("OTEL_METRICS_EXPORTER", "none")], None),
        (&[(E, "http://c:4317"), ("OTEL_METRIC_EXPORT_INTERVAL", "250")], some("http://c:4317", 250)),
    ] {
        assert_eq!(push(variables).unwrap(), expected, "{variables:?}");
    }
    for (name, value) in [("OTEL_METRICS_EXPORTER", "prometheus"), ("OTEL_METRIC_EXPORT_INTERVAL", "1m")] {
        let error = push(&[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(value), "{error}");
    }
}
