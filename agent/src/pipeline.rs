//! The one place that knows all rooms.
