use super::*;

const CANARY: &str = "Y2FuYXJ5LWtleS1vZi1hbi1hY2NvdW50";

fn read(text: &str) -> Result<Account, AccountError> {
    Account::from_connection_string(text)
}

fn places(account: &Account) -> [Option<&str>; 2] {
    [&account.blobs, &account.queues].map(|url| url.as_ref().map(Url::as_str))
}

#[test]
fn a_connection_string_is_read_as_the_portal_writes_it() {
    let account = read(&format!(
        "DefaultEndpointsProtocol=https;AccountName=acme1;AccountKey={CANARY};EndpointSuffix=core.windows.net"
    ))
    .unwrap();
    assert_eq!(
        places(&account),
        [Some("https://acme1.blob.core.windows.net/"), Some("https://acme1.queue.core.windows.net/")]
    );
    assert_eq!(
        (account.name.as_deref(), account.who),
        (Some("acme1"), Who::Key(Key(b"canary-key-of-an-account".to_vec())))
    );

    let account =
        read(&format!("accountname=acme1; AccountKey={CANARY} ;EndpointSuffix=core.chinacloudapi.cn;\n")).unwrap();
    assert_eq!(places(&account)[1], Some("https://acme1.queue.core.chinacloudapi.cn/"));
}

#[test]
fn a_signature_needs_no_name_where_the_addresses_are_told() {
    let text = "BlobEndpoint=https://acme1.blob.core.windows.net/;FileEndpoint=https://acme1.file.core.windows.net/;\
                SharedAccessSignature=?sv=2024-11-04&ss=b&sig=canary%3D";
    let account = read(text).unwrap();
    assert_eq!(places(&account), [Some("https://acme1.blob.core.windows.net/"), None]);
    assert_eq!((&account.name, &account.who), (&None, &Who::Sas(Sas("sv=2024-11-04&ss=b&sig=canary%3D".into()))));
    assert!(account.place(Service::Blobs).is_ok());
    assert_eq!(account.place(Service::Queues).unwrap_err().part, "QueueEndpoint");
}

#[test]
fn the_emulator_is_known_by_one_word() {
    let account = read("UseDevelopmentStorage=true").unwrap();
    assert_eq!(
        places(&account),
        [Some("http://127.0.0.1:10000/devstoreaccount1"), Some("http://127.0.0.1:10001/devstoreaccount1")]
    );
}

#[test]
fn an_account_is_known_by_its_name_or_its_address() {
    let entra = Who::Entra(Some(Kind::WorkloadIdentity));
    let by_name = Account::new("acme1", entra.clone()).unwrap();
    let by_address = Account::new("https://acme1.blob.core.windows.net", entra.clone()).unwrap();
    assert_eq!(by_name, by_address);
    let own = Account::new("https://blobs.example.com", entra).unwrap();
    assert_eq!(places(&own), [Some("https://blobs.example.com/"), None]);
    let key = Who::Key(Key::read(CANARY).unwrap());
    assert!(Account::new("https://blobs.example.com", key).unwrap_err().cause.contains("the account's name"));
}

#[test]
fn what_is_wrong_is_told_by_its_part() {
    let ends = [
        ("", "the connection string", "neither"),
        ("AccountName=acme1", "the connection string", "neither AccountKey"),
        ("AccountKey=Y2FuYXJ5", "AccountName", "is missing"),
        ("AccountName=ACME;AccountKey=Y2FuYXJ5", "AccountName", "no name"),
        ("AccountName=acme1;AccountKey=canary!", "AccountKey", "not base64"),
        ("AccountName=acme1;AccountKey=", "AccountKey", "is empty"),
        ("AccountName=acme1;AccountName=acme2;AccountKey=Y2FuYXJ5", "AccountName", "twice"),
        ("AccountName=acme1;SharedAccessSignature=sv=1&sp=rw", "SharedAccessSignature", "no sig="),
        ("AccountName=acme1;SharedAccessSignature=sv=1&sig=can ary", "SharedAccessSignature", "a space"),
        ("SharedAccessSignature=sv=1&sig=canary", "the connection string", "where the account is"),
        (
            "AccountName=acme1;AccountKey=Y2FuYXJ5;SharedAccessSignature=sv=1&sig=c",
            "the connection string",
            "AccountKey and",
        ),
        (
            "AccountName=acme1;AccountKey=Y2FuYXJ5;DefaultEndpointsProtocol=http",
            "DefaultEndpointsProtocol",
            "without TLS",
        ),
        ("AccountName=acme1;AccountKey=Y2FuYXJ5;BlobEndpoint=http://azurite:10000", "BlobEndpoint", "without TLS"),
        ("AccountName=acme1;AccountKey=Y2FuYXJ5;BlobEndpoint=https://a.net/?sig=canary", "BlobEndpoint", "more than"),
        ("AccountName=acme1;AccountKey=Y2FuYXJ5;EndpointSuffix=a/b", "EndpointSuffix", "no end"),
        ("UseDevelopmentStorage=yes", "UseDevelopmentStorage", "not true"),
        ("AccountName=acme1;Y2FuYXJ5", "the connection string", "number 2"),
        ("AccountName=acme1;Y2FuYXJ5==;AccountKey=Y2FuYXJ5", "the connection string", "number 2"),
    ];
    for (text, part, cause) in ends {
        let error = read(text).unwrap_err();
        assert!(error.part == part && error.cause.contains(cause) && !error.mend.is_empty(), "{text}: {error:?}");
        let told = format!("{error} {error:?}");
        assert!(!told.contains("Y2FuYXJ5") && !told.contains("canary") && !told.contains("can ary"), "{told}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let key = read(&format!("AccountName=acme1;AccountKey={CANARY}")).unwrap();
    let sas = read("AccountName=acme1;SharedAccessSignature=sv=1&sig=canary").unwrap();
    for account in [key, sas] {
        let told = format!("{account:?} {:?}", account.who);
        assert!(told.contains("[secret]") && !told.contains("anary") && !told.contains("Y2Fu"), "{told}");
        // The bytes of "can", as a list.
        assert!(!told.contains("99, 97, 110"), "{told}");
    }
    let printed = format!("{:?} {:?}", Key::read(CANARY).unwrap(), Sas::read("sv=1&sig=canary").unwrap());
    assert_eq!(printed, "[secret] [secret]");
}

#[test]
fn a_signature_says_when_it_runs_out() {
    let ends = |sas: &str| read(&format!("AccountName=acme1;SharedAccessSignature={sas}")).unwrap().ends_at();
    assert_eq!(ends("sv=1&se=2026-12-03T10%3A00%3A00Z&sig=canary"), Some(1_796_292_000));
    assert_eq!(ends("sv=1&se=2026-12-03T10:00:00Z&sig=canary"), Some(1_796_292_000));
    assert_eq!(ends("sv=1&se=2026-12-03&sig=canary"), Some(1_796_256_000));
    assert_eq!(ends("sv=1&si=a-policy&sig=canary"), None);
    assert_eq!(ends("sv=1&se=soon&sig=canary"), None);
}
