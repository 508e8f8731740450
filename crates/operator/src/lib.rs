//! Watch, gather, compose, plan, apply, judge, publish.
