//! `record`: what the leader says of a service, a line a second.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_core::fleet::Service;
use mesh_core::signal::Signal;
use mesh_core::time::Timestamp;
use mesh_proto::v1;

use super::Context;
use crate::args::replay::Record;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::recording::{FORMAT, Heard, Moment, State};

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub async fn record(context: &Context, args: &Record) -> Outcome {
    let mesh = context.mesh()?;
    let mut out = Out::open(args)?;
    let began = Instant::now();
    let (mut moments, mut missed) = (0_u64, String::new());
    loop {
        let looked = Instant::now();
        match look(&mesh, args).await {
            Ok(moment) => {
                out.write(moment)?;
                moments += 1;
                missed.clear();
            }
            // A gap is no reason to lose what comes after it; said once.
            Err(failure) if moments > 0 => {
                let said = failure.to_string();
                if said != missed {
                    context.output.note(&format!("not recorded: {said}"));
                }
                missed = said;
            }
            Err(failure) => return Err(failure),
        }
        let ended = args.lasting.is_some_and(|lasting| began.elapsed() >= lasting);
        let interrupted = tokio::select! {
            _ = tokio::signal::ctrl_c() => true,
            () = tokio::time::sleep(LOOK_EVERY.saturating_sub(looked.elapsed())) => false,
        };
        if ended || interrupted {
            context.output.note(&format!("{moments} moments of {} in {}", args.service, args.out.display()));
            return Ok(Exit::Ok);
        }
    }
}

async fn look(mesh: &Mesh, args: &Record) -> Result<Moment, Failure> {
    let status = mesh.status(false).await?;
    let judgement = mesh.why_not(&args.service, None).await?;
    let of_service = status.services.into_iter().find(|service| service.service == args.service.as_str());
    let entity = of_service.and_then(|service| service.entity);
    let entity = entity.ok_or_else(|| Failure::refused(format!("there is no service {}", args.service)))?;
    let service = Service::try_from(entity).map_err(Failure::answer)?;
    let freeze = status.freeze.map(TryInto::try_into).transpose().map_err(Failure::answer)?;
    let signals = status.signals.into_iter().filter(|signal| signal.service == args.service.as_str());
    let signals: Result<Vec<Signal>, _> = signals.map(Signal::try_from).collect();
    let agents: Result<Vec<Heard>, Failure> = status.agents.into_iter().map(heard).collect();
    Ok(Moment {
        format: FORMAT.to_owned(),
        at: Timestamp::from_millis(status.now).max(judgement.at),
        state: Some(State::of(&service, freeze)),
        agents: agents?,
        signals: signals.map_err(Failure::answer)?,
        judgement,
    })
}

fn heard(agent: v1::AgentStatus) -> Result<Heard, Failure> {
    let name = |error: mesh_core::ids::NameError| Failure::answer(error);
    Ok(Heard {
        agent: mesh_core::ids::AgentId::new(agent.agent).map_err(name)?,
        region: mesh_core::ids::RegionId::new(agent.region).map_err(name)?,
        ms_ago: agent.last_heard_ms_ago,
    })
}

struct Out {
    path: PathBuf,
    file: File,
    written: u64,
    most: u64,
    last: Option<State>,
}

impl Out {
    fn open(args: &Record) -> Result<Self, Failure> {
        let file = OpenOptions::new().create(true).append(true).open(&args.out);
        let file = file.map_err(|error| Failure::file(&args.out, "write", &error))?;
        let written = file.metadata().map_err(|error| Failure::file(&args.out, "read", &error))?.len();
        let most = args.megabytes.saturating_mul(1_000_000);
        Ok(Self { path: args.out.clone(), file, written, most, last: None })
    }

    fn write(&mut self, mut moment: Moment) -> Result<(), Failure> {
        if self.written >= self.most {
            self.turn_over()?;
        }
        if moment.state == self.last {
            moment.state = None;
        } else {
            self.last.clone_from(&moment.state);
        }
        let line = serde_json::to_string(&moment);
        let line = line.map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))? + "\n";
        self.file.write_all(line.as_bytes()).map_err(|error| Failure::file(&self.path, "write", &error))?;
        self.written = self.written.saturating_add(line.len() as u64);
        Ok(())
    }

    fn turn_over(&mut self) -> Result<(), Failure> {
        let wrong = |path: &Path, error: std::io::Error| Failure::file(path, "write", &error);
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        std::fs::rename(&self.path, &before).map_err(|error| wrong(&self.path, error))?;
        self.file = File::create(&self.path).map_err(|error| wrong(&self.path, error))?;
        (self.written, self.last) = (0, None);
        Ok(())
    }
}
