//! `silvacast demo`: serves on loopback with two built-in microphones, to show what silvacast does.

use std::io::Cursor;

use tokio::task::LocalSet;

use super::run::{first_address, listen, serve, trial_config};
use super::{Exit, block_on, failed, print, random_secret};
use crate::auth::Secret;
use crate::config::Environment;
use crate::push::{Clip, PushProgress, PushTarget, push};

/// The microphones: their mounts, and the clips that they play in a loop.
const MICROPHONES: [(&str, &[u8]); 2] = [
    ("/mic-demo-dawn.opus", include_bytes!("../demo/dawn.opus")),
    ("/mic-demo-night.opus", include_bytes!("../demo/night.opus")),
];

/// Serves on loopback, and pushes the microphones to this server.
pub(super) fn run() -> Result<(), Exit> {
    let (source, admin) = (random_secret()?, random_secret()?);
    let config = trial_config(&source, &admin, &Environment::of_process())?;
    let sockets = listen(&config.listen)?;
    let address = first_address(&sockets)?;
    let mut targets = Vec::new();
    let mut urls = Vec::new();
    for (mount, clip) in MICROPHONES {
        let target = PushTarget::parse(&format!("http://{address}{mount}")).map_err(failed)?;
        urls.push(format!("  {target}"));
        targets.push((target, clip));
    }
    print(&format!(
        "Two microphones are live. Hear and see them in a browser:\n\n  http://{address}/\n\n\
         Or open one in mpv or VLC:\n\n{}\n\n\
         Status:\n\n  http://{address}/status-json.xsl\n\n\
         Ctrl-C stops the server.",
        urls.join("\n")
    ));
    serve(config, sockets, None, None, Box::new(|| start_microphones(targets, source)))
}

/// Starts a thread that pushes the clips to their targets.
fn start_microphones(
    targets: Vec<(PushTarget, &'static [u8])>,
    source: Secret,
) -> Result<(), Exit> {
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
                            tracing::error!(%error, "a microphone stopped");
                        }
                    }
                })
                .await;
            Ok(())
        };
        block_on(all)
    });
    started
        .map(drop)
        .map_err(|error| failed(format!("cannot create the thread for the microphones: {error}")))
}
