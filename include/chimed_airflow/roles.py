"""Roles and databases of a new PostgreSQL server: one for Airflow, one for the store, each with the least it needs.

`python -m chimed_airflow.roles`, run by compose before anything else; what is there already stays, and gets the
password that the settings have today. Only this program is given the superuser's password.
"""

import os

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

ROLES = {"airflow": "AIRFLOW_DB_PASSWORD", "chimed": "CHIMED_STORE_PASSWORD"}  # and databases of the same names


def make(server: str, passwords: dict[str, str]) -> None:
    """Create the roles with these passwords, and for each a database that only it and the superuser may enter.

    server: how the superuser connects, as libpq writes it.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        superuser = connection.info.user
        for role, password in passwords.items():
            name = sql.Identifier(role)
            if not connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("create role {} login").format(name))
            if role != superuser:  # a server of old times, whose first role is Airflow's
                plain = sql.SQL("alter role {} login nosuperuser nocreatedb nocreaterole noreplication password {}")
                connection.execute(plain.format(name, sql.Literal(password)))
            if not connection.execute("select 1 from pg_database where datname = %s", [role]).fetchone():
                connection.execute(sql.SQL("create database {} owner {}").format(name, name))
            connection.execute(sql.SQL("revoke all on database {} from public").format(name))


if __name__ == "__main__":
    superuser, word = os.environ["POSTGRES_SUPERUSER"], os.environ["POSTGRES_PASSWORD"]
    server = make_conninfo(host="postgres", dbname="postgres", user=superuser, password=word)
    make(server, {role: os.environ[variable] for role, variable in ROLES.items()})
