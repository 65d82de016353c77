//! People on the appliance's machine who are not root: nobody is let in for being there.

use lattice_tests::appliance::Appliance;
use lattice_tests::machine;
use lattice_tests::person::Person;

const TARGET: &str = "lattice.localhost:8080";

#[test]
fn anyone_but_root_is_asked_for_the_password() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let admin = lattice.admin();
    let person = Person::on(&lattice);

    // Not even the name of the data directory helps: only root may look into it.
    let lost = person.ltc(&["list"]);
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(lost.err.contains("ltc target"), "the next command is said: {lost:?}");
    let alone = person.ltc(&["target", TARGET]);
    assert_eq!(alone.code, 10, "{alone:?}");
    let next = format!("ltc target {TARGET} --username USER --password-file FILE");
    assert!(alone.err.contains("nobody can be asked") && alone.err.contains(&next), "{alone:?}");

    let guess = [("user: ", "admin"), ("password: ", "guess")];
    let wrong = person.ltc_at_terminal(&["target", TARGET], &guess);
    assert_eq!(wrong.code, 10, "{wrong:?}");
    assert!(wrong.out.contains("did not accept"), "{wrong:?}");
    assert_eq!(person.ltc(&["list"]).code, 1, "a wrong password is not kept");

    let answers = [("user: ", &*admin.username), ("password: ", &*admin.password)];
    let asked = person.ltc_at_terminal(&["target", TARGET], &answers);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(!asked.out.contains(&admin.password), "the password is not shown: {asked:?}");
    let list = person.ltc(&["list"]);
    assert_eq!(list.code, 0, "{list:?}");
}

#[test]
fn a_password_file_does_where_nobody_can_be_asked() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let person = Person::on(&lattice);
    let file = person.write("password", &lattice.admin().password);
    let target = ["target", TARGET, "--username", "admin", "--password-file", &file];
    let targeted = person.ltc(&target);
    assert_eq!(targeted.code, 0, "{targeted:?}");
    assert_eq!(person.ltc(&["cells"]).code, 0);
}
