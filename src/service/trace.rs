//! The context of a trace, carried in a message's headers (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/>).

use std::fmt;

use super::id::random;
use crate::wire::FieldTable;

/// The header that names trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which vendors keep their own.
pub const TRACESTATE: &str = "tracestate";

/// RabbitMQ carries more, but the standard asks for no more than 512 to be passed on.
const STATE_MAX: usize = 512;

/// Where in a trace a message belongs: the trace, the span that sent it, and whether it is recorded.
///
/// ```
/// use hopmq::service::TraceContext;
///
/// let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context = TraceContext::parse(sent, None).expect("as the standard has it");
/// assert!(context.is_sampled());
/// assert_eq!(context.traceparent(), sent);
///
/// let child = context.child();
/// assert_eq!(child.trace_id(), context.trace_id());
/// assert_ne!(child.span_id(), context.span_id());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: Option<String>,
}

impl TraceContext {
    /// A new trace, with this as its first span.
    pub fn root(sampled: bool) -> Self {
        let trace_id = (u128::from(random()) << 64) | u128::from(random());
        TraceContext {
            trace_id: trace_id.max(1),
            span_id: random().max(1),
            flags: u8::from(sampled),
            state: None,
        }
    }

    /// From its parts, as another library has them. `None` when an id is zero, which the standard
    /// forbids.
    pub fn from_parts(
        trace_id: [u8; 16],
        span_id: [u8; 8],
        flags: u8,
        state: Option<&str>,
    ) -> Option<Self> {
        let (trace_id, span_id) = (u128::from_be_bytes(trace_id), u64::from_be_bytes(span_id));
        let state = state.filter(|state| !state.is_empty() && state.len() <= STATE_MAX);
        let state = state.map(str::to_owned);
        (trace_id != 0 && span_id != 0).then_some(TraceContext { trace_id, span_id, flags, state })
    }

    /// From the values of the two headers. `None` when the first is not as the standard has it:
    /// then a new trace begins. Versions to come are read as far as this one is known.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let has_more = parts.next().is_some();
        if version == 0xff || (version == 0 && has_more) {
            return None;
        }
        Self::from_parts(trace_id.to_be_bytes(), span_id.to_be_bytes(), flags, tracestate)
    }

    /// From the headers of a message.
    pub fn of(headers: &FieldTable) -> Option<Self> {
        let state = headers.get(TRACESTATE).and_then(|state| state.as_str());
        Self::parse(headers.get(TRACEPARENT)?.as_str()?, state)
    }

    /// The next span of the same trace: new, and this one's child.
    pub fn child(&self) -> Self {
        TraceContext { span_id: random().max(1), ..self.clone() }
    }

    /// That of a span that is recorded: where messages published in it belong. `None` where no layer
    /// of `tracing-opentelemetry` records it. [`Publisher`](super::Publisher) and
    /// [`Caller`](super::Caller) do this by themselves.
    ///
    /// ```
    /// use hopmq::service::TraceContext;
    /// use opentelemetry::trace::TracerProvider as _;
    /// use opentelemetry_sdk::trace::SdkTracerProvider;
    /// use tracing_subscriber::layer::SubscriberExt as _;
    ///
    /// let provider = SdkTracerProvider::builder().build(); // with an exporter
    /// let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    /// tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
    ///     let sender = tracing::info_span!("sender");
    ///     let sent = TraceContext::of_span(&sender).expect("it is recorded");
    ///     // In the headers of a message, as `Message::trace` writes it; and on the other side:
    ///     let receiver = tracing::info_span!("receiver");
    ///     sent.set_parent_of(&receiver);
    ///     let received = TraceContext::of_span(&receiver).expect("it is recorded");
    ///     assert_eq!(received.trace_id(), sent.trace_id());
    /// });
    /// ```
    #[cfg(feature = "opentelemetry")]
    pub fn of_span(span: &tracing::Span) -> Option<Self> {
        use opentelemetry::trace::TraceContextExt as _;
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;

        let within = span.context();
        let context = within.span().span_context().clone();
        let state = context.trace_state().header();
        let (trace_id, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        Self::from_parts(trace_id, span_id, context.trace_flags().to_u8(), Some(&state))
    }

    /// Makes a span a child of this, elsewhere: for a loop of one's own that processes messages.
    /// [`Worker`](super::Worker) and [`CallServer`](super::CallServer) do it by themselves. It has
    /// no effect on a span that was entered before.
    #[cfg(feature = "opentelemetry")]
    pub fn set_parent_of(&self, span: &tracing::Span) {
        use opentelemetry::trace::{
            SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        };
        use tracing_opentelemetry::OpenTelemetrySpanExt as _;

        let state = self.state.as_deref().and_then(|state| state.parse::<TraceState>().ok());
        let remote = SpanContext::new(
            TraceId::from_bytes(self.trace_id()),
            SpanId::from_bytes(self.span_id()),
            TraceFlags::new(self.flags),
            true,
            state.unwrap_or_default(),
        );
        // Refused where no layer records the span, or too late.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }

    /// The trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// The span.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id.to_be_bytes()
    }

    /// The flags of the trace, as they came.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The value of the header `traceparent`.
    pub fn traceparent(&self) -> String {
        let known_flags = self.flags & 3;
        format!("00-{:032x}-{:016x}-{known_flags:02x}", self.trace_id, self.span_id)
    }

    /// The value of the header `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Writes both headers; those of another context are replaced.
    pub fn write(&self, headers: &mut FieldTable) {
        headers.remove(TRACESTATE);
        // The names are short literals.
        let _ = headers.insert(TRACEPARENT, self.traceparent().as_str());
        if let Some(state) = &self.state {
            let _ = headers.insert(TRACESTATE, state.as_str());
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

/// Exactly so many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_goes_through_headers_unchanged() {
        let context = TraceContext::parse(GOOD, Some("vendor=1")).unwrap();
        let mut headers = FieldTable::new();
        context.write(&mut headers);
        assert_eq!(TraceContext::of(&headers), Some(context));
        let other = TraceContext::root(false);
        other.write(&mut headers);
        assert_eq!(TraceContext::of(&headers), Some(other), "no tracestate of another trace");
    }

    #[test]
    fn what_the_standard_forbids_is_no_context() {
        let bad = [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text, None), None, "{text}");
        }
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert!(TraceContext::parse(&later, None).is_some(), "a later version is read as this one");
        let long = "x".repeat(513);
        assert_eq!(TraceContext::parse(GOOD, Some(&long)).unwrap().tracestate(), None);
    }
}
