//! AMQP: what links mean.

mod management; // `$management`: what hub and partitions look like
mod provisioning; // registrations
mod readers; // links that read from the built-in endpoint
