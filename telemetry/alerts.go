package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"weir/usage"
)

// Budget is where the budget of an account stands.
type Budget struct {
	Team   string
	Key    string // "" the team's own
	Amount usage.USD
	Spent  usage.USD // and reserved
	From   time.Time // when its window began
	At     []float64 // the shares of it that are alerts

	Shadow  bool // it lets pass what it would refuse
	Refused bool // it has refused a request in its window: it is used up, whatever is left
}

// mode returns what becomes of requests that the budget refuses, in the
// configuration's words.
func (b Budget) mode() string {
	if b.Shadow {
		return "shadow"
	}
	return "enforce"
}

// reached reports whether so large a share of the budget is used. The last request
// seldom fits exactly: a budget that has refused one counts as used up.
func (b Budget) reached(at float64) bool {
	return float64(b.Spent) >= at*float64(b.Amount) || b.Refused && at == 1
}

// used returns the share of the budget that is spent and reserved.
func (b Budget) used() float64 { return float64(b.Spent) / float64(b.Amount) }

// labels are what its metrics are told apart by.
func (b Budget) labels() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("team", b.Team), attribute.String("key", b.Key), attribute.String("mode", b.mode())}
}

// account returns whose budget it is, in one word.
func (b Budget) account() string {
	if b.Key == "" {
		return b.Team
	}
	return b.Team + "/" + b.Key
}

// AlertsConfig is what Alerts works with.
type AlertsConfig struct {
	Log *slog.Logger

	// Webhook is the URL that alerts are posted to, until PostTo names another; ""
	// none. Client posts them.
	Webhook string
	Client  *http.Client

	// Once reports whether a name is asked about for the first time, over all
	// that share its memory and over their lives. Nil: this process's alone.
	Once func(ctx context.Context, name string) (bool, error)

	// Backoff is the wait before an alert is posted once more, doubled each time.
	Backoff time.Duration
}

// Alerts says once in each window when a budget has reached a share: in the log,
// as a metric and, where one is named, to a webhook.
type Alerts struct {
	cfg     AlertsConfig
	counter metric.Int64Counter
	budgets atomic.Pointer[[]Budget] // as they were last checked

	quit func() // ends all deliveries

	mu      sync.Mutex
	webhook string
	said    map[string]bool // in the windows of the budgets that were last checked
	post    sync.WaitGroup
	over    <-chan struct{} // closed by quit
}

// NewAlerts returns Alerts that count in m.
func NewAlerts(m *Metrics, cfg AlertsConfig) (*Alerts, error) {
	over := make(chan struct{})
	a := &Alerts{cfg: cfg, webhook: cfg.Webhook, said: map[string]bool{}, over: over, quit: sync.OnceFunc(func() { close(over) })}
	var err error
	a.counter, err = m.meter.Int64Counter("weir.budget.alerts",
		metric.WithDescription("Alerts that a budget has reached a share of itself."))
	if err != nil {
		return nil, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	k := &maker{meter: m.meter}
	k.gauge("weir.budget.used.ratio", "The share of a budget that is spent or reserved in its present window.", a.each(func(o metric.Float64Observer, b Budget) {
		o.Observe(b.used(), metric.WithAttributes(b.labels()...))
	}))
	k.gauge("weir.team.budget.used.ratio", "The share of a team's own budget that is spent or reserved in its present window.", a.teams(Budget.used))
	k.gauge("weir.team.budget.usd", "A team's own budget, in US dollars.", a.teams(func(b Budget) float64 { return b.Amount.Dollars() }))
	if k.err != nil {
		return nil, fmt.Errorf("telemetry: making a metric: %w", k.err)
	}
	return a, nil
}

// each returns what observes every budget.
func (a *Alerts) each(observe func(metric.Float64Observer, Budget)) func(metric.Float64Observer) {
	return func(o metric.Float64Observer) {
		if budgets := a.budgets.Load(); budgets != nil {
			for _, b := range *budgets {
				observe(o, b)
			}
		}
	}
}

// teams returns what observes the budgets that hold for whole teams.
func (a *Alerts) teams(of func(Budget) float64) func(metric.Float64Observer) {
	return a.each(func(o metric.Float64Observer, b Budget) {
		if b.Key == "" && !b.Shadow {
			o.Observe(of(b), metric.WithAttributes(attribute.String("team", b.Team)))
		}
	})
}

// Check looks at where budgets stand. It does not wait for the webhook.
func (a *Alerts) Check(ctx context.Context, budgets []Budget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := slices.Clone(budgets)
	a.budgets.Store(&now)
	said := map[string]bool{}
	for _, b := range budgets {
		for _, at := range b.At {
			name := fmt.Sprintf("budget alert %s %s %s %g", b.account(), b.From.UTC().Format(time.RFC3339), b.Amount, at)
			if b.Shadow {
				name = "shadow " + name
			}
			said[name] = a.said[name] || b.reached(at)
			if said[name] && !a.said[name] && a.first(ctx, name) {
				a.say(ctx, b, at)
			}
		}
	}
	a.said = said
}

// first reports whether nobody has said it yet. Where that cannot be told it is
// said once more.
func (a *Alerts) first(ctx context.Context, name string) bool {
	if a.cfg.Once == nil {
		return true
	}
	first, err := a.cfg.Once(ctx, name)
	return first || err != nil
}

// say tells of a budget that has reached a share. The caller holds mu.
func (a *Alerts) say(ctx context.Context, b Budget, at float64) {
	percent := strconv.FormatFloat(math.Round(at*1e7)/1e5, 'f', -1, 64) + "%"
	a.counter.Add(ctx, 1, metric.WithAttributes(append(b.labels(), attribute.String("share", percent))...))
	a.cfg.Log.Warn("budget alert", "team", b.Team, "key", b.Key, "share", percent, "mode", b.mode(), "refused", b.Refused,
		"spent_usd", b.Spent.Dollars(), "budget_usd", b.Amount.Dollars(), "window", b.From.Format(time.RFC3339))
	if a.webhook == "" {
		return
	}
	body, err := json.Marshal(map[string]any{
		"event": "budget_alert", "team": b.Team, "key": b.Key, "share": at, "mode": b.mode(), "refused": b.Refused,
		"spent_usd": b.Spent.Dollars(), "budget_usd": b.Amount.Dollars(), "window_start": b.From.Format(time.RFC3339),
		"text": b.text(percent, at),
	})
	if err != nil {
		return // it is made of strings and numbers
	}
	url := a.webhook
	a.post.Go(func() { a.deliver(context.WithoutCancel(ctx), url, body) })
}

// text returns an alert as people read it.
func (b Budget) text(percent string, at float64) string {
	text := fmt.Sprintf("Weir: %s has used %s of its budget of %s: %s.", b.account(), percent, b.Amount, b.Spent)
	if float64(b.Spent) < at*float64(b.Amount) {
		text = fmt.Sprintf("Weir: %s has used up its budget of %s: %s are spent or reserved, and a request needed more than is left.", b.account(), b.Amount, b.Spent)
	}
	if b.Shadow {
		text += " The budget is in shadow mode: nothing is refused."
	}
	return text
}

// PostTo makes url where alerts are posted to from now on; "" nowhere.
func (a *Alerts) PostTo(url string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.webhook = url
}

// The bounds of delivering an alert.
const (
	deliveries = 4 // tries
	delivery   = 10 * time.Second
)

// deliver posts an alert, more than once where that fails. The URL may hold a
// secret, so that it is not logged.
func (a *Alerts) deliver(ctx context.Context, url string, body []byte) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	var err error
	wait := a.cfg.Backoff
	tries := 1
	for ; ; tries++ {
		if err = a.send(ctx, url, body); err == nil {
			return
		}
		if tries == deliveries || !pause(ctx, wait) {
			break
		}
		wait *= 2
	}
	a.cfg.Log.Error("a budget alert could not be delivered", "tries", tries, "reason", err.Error())
}

// pause waits, and reports whether it was let wait to the end.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *Alerts) send(ctx context.Context, url string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, delivery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return errWebhook
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.cfg.Client.Do(req)
	if err != nil {
		return errWebhook
	}
	defer func() { _ = resp.Body.Close() }() // nothing in it is wanted
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("telemetry: the webhook answered %d", resp.StatusCode)
	}
	return nil
}

// errWebhook hides what an *url.Error tells of the URL.
var errWebhook = errors.New("telemetry: the webhook cannot be reached")

// Wait returns once no alert is being delivered.
func (a *Alerts) Wait() { a.post.Wait() }

// Close waits until alerts are delivered, or ctx is done, and gives up those that
// are not.
func (a *Alerts) Close(ctx context.Context) {
	idle := make(chan struct{})
	go func() { defer close(idle); a.post.Wait() }()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	a.quit()
	<-idle
}
