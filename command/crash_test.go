package command

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// The prices of a token in the tests of kills, and the budget of the team paid.
const (
	inputPrice  = 125 * usage.Dollar / 1_000_000
	outputPrice = 900 * usage.Dollar / 1_000_000
	paidBudget  = 3 * usage.Dollar
)

// mortal is a gateway in a process of its own that is killed and begun again, in
// front of a simulator that is not.
type mortal struct {
	*testing.T

	azure  *azuresim.Server
	server *httptest.Server
	path   string // of the configuration
	ledger string // the path of it

	mu      sync.Mutex
	ended   map[string]answer // that were whole at their clients, by request id
	refused int               // by the budget
	ready   time.Duration     // the longest that a life took to begin
}

// newMortal configures a gateway whose teams call deployments of their own names, so
// that the simulator knows whom it serves.
func newMortal(t *testing.T, durability string) *mortal {
	t.Helper()
	deployments := map[string]azuresim.Deployment{}
	var models, teams strings.Builder
	for _, name := range []string{"paid", "free", "wild"} {
		deployments[name] = azuresim.Deployment{Model: "gpt-4o-2024-11-20", Gap: 2 * time.Millisecond}
		fmt.Fprintf(&models, "  %[1]s: { base_model: gpt-4o, price: { input: 125, output: 900 }, deployments: [{ backend: azure, deployment: %[1]s }] }\n", name)
		budget := ""
		if name == "paid" {
			budget = ", budget: { usd: 3 }"
		}
		fmt.Fprintf(&teams, "  %[1]s: { keys: [{ id: one, value: sk-of-the-team-%[1]s }]%[2]s }\n", name, budget)
	}
	m := &mortal{T: t, azure: azuresim.New(azuresim.Config{Deployments: deployments}), ended: map[string]answer{}}
	m.server = httptest.NewServer(m.azure)
	t.Cleanup(m.server.Close)
	m.ledger = filepath.Join(t.TempDir(), "ledger.db")
	m.path = write(t, "weir.yaml", `version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
backends: { azure: { endpoint: "`+m.server.URL+`", auth: { api_key: key-of-azure } } }
models:
`+models.String()+"teams:\n"+teams.String()+`state: { ledger: { path: `+strconv.Quote(m.ledger)+", durability: "+durability+" } }\n")
	return m
}

// live runs the gateway under load and kills it once so many answers have ended.
func (m *mortal) live(answers int) {
	m.Helper()
	began := time.Now()
	cmd, log := m.start()
	line := log.wait(m.T, "listening")
	log.wait(m.T, "ready")
	m.ready = max(m.ready, time.Since(began))
	api, _ := line["api"].(string)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ends := make(chan answer)
	var clients sync.WaitGroup
	for _, team := range []string{"paid", "paid", "free", "wild"} {
		for _, member := range []string{"", `"stream":true,`} {
			clients.Go(func() {
				for m.ask(client, api, team, member, ends) {
				}
			})
		}
	}
	go func() { clients.Wait(); close(ends) }()
	var all []answer
	for a := range ends {
		if all = append(all, a); len(all) == answers {
			if err := cmd.Process.Kill(); err != nil {
				m.Fatal(err)
			}
		}
	}
	killed := all[answers-1].at
	_ = cmd.Wait() // it was killed
	for _, a := range all {
		a.age = killed.Sub(a.at)
		m.ended[a.id] = a
	}
}

// answer is one that was whole at its client.
type answer struct {
	id, team string
	at       time.Time
	age      time.Duration // when it was killed that had given it
}

// start begins a life.
func (m *mortal) start() (*exec.Cmd, *journal) {
	m.Helper()
	self, err := os.Executable()
	if err != nil {
		m.Fatal(err)
	}
	args, err := json.Marshal([]string{"serve", "-c", m.path})
	if err != nil {
		m.Fatal(err)
	}
	cmd := exec.CommandContext(m.Context(), self)
	cmd.Env = append(os.Environ(), argumentsVariable+"="+string(args))
	out, err := cmd.StderrPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	log := newJournal()
	go func() {
		defer log.end()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			_, _ = log.Write(append(lines.Bytes(), '\n')) // it never fails
		}
	}()
	return cmd, log
}

// ask sends a request of a team and tells of its answer, if that is whole. It returns
// false where no more can be asked: the gateway is dead, or the budget spent.
func (m *mortal) ask(client *http.Client, api, team, member string, ends chan<- answer) bool {
	body := `{` + member + `"model":"` + team + `","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}`
	req, err := http.NewRequestWithContext(m.Context(), http.MethodPost, api+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		m.Error(err)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Api-Key", "sk-of-the-team-"+team)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false
	case resp.StatusCode == http.StatusTooManyRequests && team == "paid":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.refused++
		return false
	case resp.StatusCode != http.StatusOK:
		m.Errorf("team %s is answered %d %s", team, resp.StatusCode, data)
		return false
	}
	ends <- answer{id: resp.Header.Get("X-Request-Id"), team: team, at: time.Now()}
	return true
}

// rows returns all that the ledger holds, once what was left open is settled, and
// checks that its sums are those of its rows.
func (m *mortal) rows(strict bool) []usage.Row {
	m.Helper()
	db, err := sql.Open("sqlite", usage.SQLiteDSN(m.ledger, strict))
	if err != nil {
		m.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(m.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		m.Errorf("integrity_check: %s, %v", verdict, err)
	}
	l, err := usage.OpenLedger(m.Context(), usage.LedgerConfig{DB: db, Strict: strict})
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = l.Close(m.Context()) }() // nothing was written
	rows, err := l.Recent(m.Context(), 1_000_000, usage.Query{})
	if err != nil {
		m.Fatal(err)
	}
	sums, err := l.Usage(m.Context(), usage.Query{})
	if err != nil {
		m.Fatal(err)
	}
	want := usage.Sum{}
	for _, r := range rows {
		want.Requests++
		want.Input += r.Input
		want.Output += r.Output
		want.Cost += r.Cost
		if r.Unsettled {
			want.Unsettled++
		}
		if r.Outcome == usage.RefusedLimit {
			want.Refused++
		}
	}
	if len(sums) != 1 || sums[0].Requests != want.Requests || sums[0].Cost != want.Cost || sums[0].Unsettled != want.Unsettled || sums[0].Open != 0 {
		m.Errorf("the sums are %+v, of rows %+v", sums, want)
	}
	return rows
}

// served returns what the simulator has served of a team's deployment, and how often
// it was asked.
func (m *mortal) served(team string) (cost usage.USD, requests int) {
	for _, r := range m.azure.Requests() {
		if r.Deployment == team && r.Method == http.MethodPost {
			requests++
			cost += usage.USD(r.PromptTokens)*inputPrice + usage.USD(r.CompletionTokens)*outputPrice
		}
	}
	return cost, requests
}

// account checks the ledger against what was served, and returns the rows by their
// ids.
func (m *mortal) account(strict bool, lives int) map[string]usage.Row {
	m.Helper()
	m.server.Close() // so that all it served is counted
	byID, unsettled := map[string]usage.Row{}, 0
	cost, requests := map[string]usage.USD{}, map[string]int{}
	for _, r := range m.rows(strict) {
		byID[r.RequestID] = r
		cost[r.Team] += r.Cost
		if r.Outcome == usage.RefusedLimit {
			continue
		}
		requests[r.Team]++
		actual := usage.USD(r.Input)*inputPrice + usage.USD(r.Output)*outputPrice
		if r.Unsettled {
			unsettled++
			actual = r.ReservedCost
		}
		if r.Cost != actual || r.Open {
			m.Errorf("a row is charged %s, want %s: %+v", r.Cost, actual, r)
		}
	}
	if unsettled == 0 {
		m.Error("no request was open at a kill")
	}
	lost := 0 // answers without a row of their own
	for id := range m.ended {
		if r, ok := byID[id]; !ok || r.Unsettled {
			lost++
		}
	}
	if lost > len(m.ended)/4 {
		m.Errorf("%d of %d answers are lost", lost, len(m.ended))
	}
	for team, budgeted := range map[string]bool{"paid": true, "free": false, "wild": false} {
		spent, asked := m.served(team)
		m.Logf("%s: Azure served %d requests for %s, the ledger has %d for %s", team, asked, spent, requests[team], cost[team])
		switch {
		case budgeted && (spent > cost[team] || asked > requests[team]):
			m.Errorf("%s: Azure served %d requests for %s, and %d for %s are charged", team, asked, spent, requests[team], cost[team])
		case budgeted && (spent > paidBudget || cost[team] > paidBudget):
			m.Errorf("%s: a budget of %s is exceeded: Azure served %s, %s are charged", team, paidBudget, spent, cost[team])
		case asked-requests[team] > lost+4*lives:
			m.Errorf("%s: %d of %d requests are not in the ledger, want %d at most", team, asked-requests[team], asked, lost+4*lives)
		}
	}
	return byID
}

// TestKilledUnderLoad is O5, T24 and L12: a gateway that is killed twenty times
// under load begins again each time with what its ledger holds. What was open is
// charged at its estimate and says so, of what had ended only the last is lost, and
// over all lives together a budget is not exceeded. How late rows are at most, the
// ledger's own tests hold in virtual time; here it is printed.
func TestKilledUnderLoad(t *testing.T) {
	const lives = 20
	m := newMortal(t, "batch")
	for range lives {
		m.live(150)
	}
	rows := m.account(false, lives)
	oldest := time.Duration(0)
	for id, a := range m.ended {
		r, ok := rows[id]
		if ok && !r.Unsettled {
			continue
		}
		oldest = max(oldest, a.age)
		if !ok && a.team == "paid" {
			t.Errorf("%s: what had ended %v before the kill is lost: %+v", a.team, a.age, r)
		}
	}
	if m.refused == 0 {
		t.Error("the budget has refused nothing: that tells nothing of it")
	}
	t.Logf("ready after %v at most; the oldest answer that was lost had ended %v before the kill", m.ready, oldest)
}

// TestKilledStrictly holds that with durability strict every answer that ended has
// its row, with what it came to, whatever kills the gateway.
func TestKilledStrictly(t *testing.T) {
	const lives = 4
	m := newMortal(t, "strict")
	for range lives {
		m.live(40)
	}
	rows := m.account(true, lives)
	for id, a := range m.ended {
		if r, ok := rows[id]; !ok || r.Unsettled || r.Outcome != usage.OK {
			t.Errorf("%s: what had ended %v before the kill is lost: %+v", a.team, a.age, r)
		}
	}
}
