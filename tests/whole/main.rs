//! Tests of the whole server from outside: the real binary, real encoders, real players.
//!
//! A test waits for what it needs to see, not for time to pass, and every wait has a deadline (`wait`, `process`): a
//! test that waits in vain fails and says what it saw.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod admin;
mod allocations;
mod api;
mod bad_peers;
mod browser;
mod circles;
mod cli;
mod client;
mod code;
mod config;
mod containers;
mod cross;
mod daemon;
mod deploy;
mod deploy_guide;
mod descriptions;
mod documents;
mod door;
mod events;
mod fake_server;
mod fetched;
mod forwards;
mod gap;
mod hls;
mod hls_access;
mod hls_clients;
mod hls_media;
mod hls_players;
mod hls_reader;
mod hls_reloads;
mod hls_rules;
mod hls_streams;
mod icecast;
mod icecast_relays;
mod icecast_server;
mod icecast_settings;
mod icecast_xml;
mod idle;
mod listen;
mod log_lines;
mod loops;
mod manual;
mod memory;
mod monitoring;
mod mount_rules;
mod needs;
mod notify;
mod off;
mod on_demand;
mod other_servers;
mod package;
mod pen;
mod players;
mod podman;
mod port;
mod power;
mod process;
mod proxies;
mod proxy;
mod proxy_push;
mod quadlet;
mod readers;
mod readme;
mod recorder;
mod recorder_unit;
mod relay;
mod relays;
mod relays_icecast;
mod reload;
mod scale;
mod service;
mod shutdown;
mod station;
mod status;
mod storm;
mod through;
mod units;
mod valve;
mod wait;

use ogg_splice::testing as ogg;
