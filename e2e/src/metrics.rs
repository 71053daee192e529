//! The operator's own metrics, read through the API server.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::operator::SELECTOR;
use crate::{OPERATOR_NAMESPACE, Result};

/// The metrics of every operator that runs, one after the other, in Prometheus' text format: one acts, the others stand by.
///
/// # Errors
/// When no operator runs or one does not answer.
pub async fn text(client: &Client) -> Result<String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let selector = ListParams::default().labels(SELECTOR).fields("status.phase=Running");
    let pods = api.list(&selector).await?.items;
    if pods.is_empty() {
        return Err("no pod of the operator runs".into());
    }
    let mut all = String::new();
    for pod in pods {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let port = containers
            .flat_map(|container| container.ports.iter().flatten())
            .find(|port| port.name.as_deref() == Some("http"))
            .ok_or("the operator's pod has no port `http`")?;
        let path = format!(
            "/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{}:{}/proxy/metrics",
            pod.name_any(),
            port.container_port
        );
        all += &client.request_text(http::Request::get(path).body(Vec::new())?).await?;
    }
    Ok(all)
}

/// Sum over all series of a metric.
///
/// # Errors
/// When there is no metric of that name or a value is no number.
pub fn sum(text: &str, metric: &str) -> Result<f64> {
    let series = text.lines().filter(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    let values = series
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(_, value)| value.parse::<f64>());
    let values = values.collect::<std::result::Result<Vec<_>, _>>()?;
    if values.is_empty() {
        Err(format!("no metric {metric}").into())
    } else {
        Ok(values.iter().sum())
    }
}

/// How often any run fell back, as the operator counts it; 0 before the first time.
///
/// # Errors
/// When the metrics cannot be read.
pub async fn fallbacks(client: &Client) -> Result<f64> {
    Ok(sum(&text(client).await?, "curriculum_fallbacks_total").unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn a_sum_takes_all_series_of_that_metric_and_no_other() -> crate::Result {
        let text = "# TYPE falls counter\nfalls{reason=\"a\"} 2\nfalls{reason=\"b c\"} 3\nfalls_total 7\n";
        assert_eq!(sum(text, "falls")?, 5.0);
        assert!(sum(text, "fall").is_err());
        Ok(())
    }
}
