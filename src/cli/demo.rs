//! A server with two built-in microphones: what silvacast does, without a recorder or a file.

use std::io::Cursor;

use tokio::task::LocalSet;

use super::run::{address, for_trying, listen, serve};
use super::{Exit, on_a_runtime, random_secret, say};
use crate::auth::Secret;
use crate::config::Environment;
use crate::push::{Clip, PushProgress, Target, push};

/// The microphones: their mounts and what they hear, over and over.
const MICROPHONES: [(&str, &[u8]); 2] = [
    ("/mic-demo-dawn.opus", include_bytes!("../demo/dawn.opus")),
    ("/mic-demo-night.opus", include_bytes!("../demo/night.opus")),
];

/// Serves on loopback and pushes the microphones to itself.
pub(super) fn run() -> Result<(), Exit> {
    let (source, admin) = (random_secret()?, random_secret()?);
    let config = for_trying(&source, &admin, &Environment::of_process())?;
    let sockets = listen(&config.listen)?;
    let address = address(&sockets)?;
    let mut targets = Vec::new();
    let mut urls = Vec::new();
    for (mount, clip) in MICROPHONES {
        let target = Target::parse(&format!("http://{address}{mount}")).map_err(Exit::Failed)?;
        urls.push(format!("  {target}"));
        targets.push((target, clip));
    }
    say(&format!(
        "Two microphones are on the air. Hear and see them in a browser:\n\n  http://{address}/\n\nOr open one in mpv or VLC:\n\n{}\n\nStatus:\n\n  http://{address}/status-json.xsl\n\nCtrl-C ends it.",
        urls.join("\n")
    ));
    serve(config, sockets, None, || start_microphones(targets, source))
}

fn start_microphones(targets: Vec<(Target, &'static [u8])>, source: Secret) -> Result<(), Exit> {
    let microphones = std::thread::Builder::new().name("microphones".into());
    let started = microphones.spawn(move || {
        let all = async {
            LocalSet::new()
                .run_until(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for (target, clip) in targets {
                        let password = source.clone();
                        tasks.spawn_local(async move {
                            let mut clip = Clip::new(Box::new(Cursor::new(clip)), true)?;
                            push(&mut clip, &target, &password, |progress| {
                                if let PushProgress::Lost(why, _) = progress {
                                    tracing::warn!(%target, why, "a microphone lost its connection");
                                }
                            })
                            .await
                        });
                    }
                    while let Some(ended) = tasks.join_next().await {
                        if let Ok(Err(error)) = ended {
                            tracing::error!(%error, "a microphone ended");
                        }
                    }
                })
                .await;
            Ok(())
        };
        on_a_runtime(all)
    });
    started
        .map(drop)
        .map_err(|error| Exit::Failed(format!("no thread for the microphones: {error}")))
}
