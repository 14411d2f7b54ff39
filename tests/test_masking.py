"""No password is shown, in whatever form an address holds it."""

from __future__ import annotations

import pytest

from emperor_trio.masking import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/etc/uwsgi/vassals", "/etc/uwsgi/vassals"),
        (
            "pg://host=db user=me password=s3cret dbname=x;SELECT 1",
            "pg://host=db user=me password=*** dbname=x;SELECT 1",
        ),
        ("pg://host=db password = 's 3\\'t' dbname=x;SELECT 1", "pg://host=db password=*** dbname=x;SELECT 1"),
        ("pg://postgresql://me:s3cret@db/x;SELECT 1", "pg://postgresql://me:***@db/x;SELECT 1"),
        ("pg://postgresql://db/x?user=me&password=s3cret&a=b", "pg://postgresql://db/x?user=me&password=***&a=b"),
        ("mongodb://me:p@ss@db/x.y", "mongodb://me:***@db/x.y"),
        ("mongodb2://addr=db,username=me,password=a b,db=x", "mongodb2://addr=db,username=me,password=***,db=x"),
        ("mongodb://me:p/ss@db/x.y?a=b;{c:1}", "mongodb://me:***@db/x.y?a=b;{c:1}"),
        ("mongodb://db:1,x.y,{m:'a'}", "mongodb://db:1,x.y,{m:'a'}"),
        (
            "mongodb://db/x.y?tlsCertificateKeyFilePassword=s3cret&authMechanismProperties=T:s3cret&a=b",
            "mongodb://db/x.y?tlsCertificateKeyFilePassword=***&authMechanismProperties=***&a=b",
        ),
        ("mongodb2://password=a\\,b,db=x", "mongodb2://password=***,db=x"),
        ("mongodb2://password=a,b=c,db=x", "mongodb2://password=***,db=x"),
        ("amqp://me:s3cret@rabbit:5672/vhost", "amqp://me:***@rabbit:5672/vhost"),
        (
            "ldap://h/dc=x??sub?(cn=*)?bindname=cn=me,x-bindpw=s3cret",
            "ldap://h/dc=x??sub?(cn=*)?bindname=cn=me,x-bindpw=***",
        ),
        ("zoo://me:p/w@h:2181/x", "zoo://me:***@h:2181/x"),
        ("amqp://me:x12/34@h/v", "amqp://me:***@h/v"),
        ("ldap://h:389/dc=x??sub?(mail=a@b)", "ldap://h:389/dc=x??sub?(mail=a@b)"),
        ("mongodb://me:12,34@h/x.y", "mongodb://me:***@h/x.y"),
        ("no route to amqp://me:s3cret@rabbit", "no route to amqp://me:***@rabbit"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
