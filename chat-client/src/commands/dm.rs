//! `dm …`: answering strangers, and not hearing from some.

use protocol::message::request::{Admit, Block, Blocked, Reply, Verdict};

use super::{
    json::PersonJson,
    session::{Session, unexpected},
};
use crate::{
    cli::Dm,
    node::call::Target,
    output::{Output, Style},
    report::Failure,
    untrusted::Untrusted,
};

pub(super) async fn run(dm: Dm, session: &Session, output: &mut Output) -> Result<(), Failure> {
    session.online().await?;
    match dm {
        Dm::Accept { who } => admit(session, &who, Verdict::Yes).await,
        Dm::Refuse { who } => admit(session, &who, Verdict::No).await,
        Dm::Block { who } => block(session, &who, Verdict::Yes).await,
        Dm::Unblock { who } => block(session, &who, Verdict::No).await,
        Dm::Blocked => blocked(session, output).await,
    }
}

async fn admit(session: &Session, who: &Target, verdict: Verdict) -> Result<(), Failure> {
    let account = session.person(who).await?.account;
    let conversation = match session.find(who).await {
        Ok(known) => known.info.id,
        Err(_) => session.direct(account).await?,
    };
    session.order(Admit { conversation, account, verdict }).await
}

async fn block(session: &Session, who: &Target, verdict: Verdict) -> Result<(), Failure> {
    let account = session.person(who).await?.account;
    session.order(Block { account, verdict }).await
}

async fn blocked(session: &Session, output: &mut Output) -> Result<(), Failure> {
    let people = match session.ask(Blocked {}).await? {
        Reply::Blocked(people) => people,
        other => return Err(unexpected(&other)),
    };
    for person in &people {
        match output.style() {
            Style::Json => output.json(&PersonJson::new(person))?,
            Style::Plain => {
                output.line(&format!("@{}", Untrusted::new(&person.name).for_line()))?;
            }
        }
    }
    Ok(())
}
