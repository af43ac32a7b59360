package usage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// postgres is a PostgreSQL server of the tests' own, on a socket in a folder of its
// own. It starts when the first test asks for a database, and it ends with this
// process in whatever way that ends: a shell waits for that, and stops it.
type postgres struct {
	once      sync.Once
	err       error
	dir       string
	input     io.Closer
	cmd       *exec.Cmd
	databases atomic.Int64
}

var server postgres

// database makes an empty database and returns its name.
func (p *postgres) database(t testing.TB) string {
	t.Helper()
	p.once.Do(func() { p.err = p.start() })
	if p.err != nil {
		t.Fatal(p.err)
	}
	name := "weir" + strconv.FormatInt(p.databases.Add(1), 10)
	p.admin(t, "CREATE DATABASE "+name+" TEMPLATE template0")
	return name
}

// admin runs a statement beside the database under test.
func (p *postgres) admin(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", p.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (p *postgres) dsn(database string) string {
	return "host=" + p.dir + " user=weir dbname=" + database
}

func (p *postgres) start() error {
	tools, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, lookErr := exec.LookPath("initdb"); lookErr == nil {
		tools, err = append(tools, path), nil
	}
	if err != nil || len(tools) == 0 {
		return errors.New("the tests need PostgreSQL: apt-get install --yes postgresql")
	}
	bin := filepath.Dir(tools[len(tools)-1])
	if p.dir, err = os.MkdirTemp("", "weir-postgres-"); err != nil {
		return err
	}
	as, err := p.unprivileged()
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=weir",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.cmd = exec.Command("sh", "-c", `"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf `+p.dir,
		"sh", filepath.Join(bin, "postgres"), "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	p.cmd.SysProcAttr, p.cmd.Dir = as, p.dir
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	return p.ready()
}

// unprivileged returns as whom the server runs: PostgreSQL refuses to be root.
func (p *postgres) unprivileged() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// ready returns when the server answers.
func (p *postgres) ready() error {
	db, err := sql.Open("pgx", p.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server, if there is one, and removes its folder.
func (p *postgres) stop() {
	if p.input != nil {
		p.input.Close()
		p.cmd.Wait() //nolint:errcheck // It is how a server that was interrupted ends.
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}
