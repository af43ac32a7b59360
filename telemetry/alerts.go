package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
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

	// Webhook is the URL that alerts are posted to; "" none. Client posts them.
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
	used    metric.Float64Gauge

	mu   sync.Mutex
	said map[string]bool // in the windows of the budgets that were last checked
	post sync.WaitGroup
}

// NewAlerts returns Alerts that count in m.
func NewAlerts(m *Metrics, cfg AlertsConfig) (*Alerts, error) {
	a := &Alerts{cfg: cfg, said: map[string]bool{}}
	var err error
	a.counter, err = m.meter.Int64Counter("weir.budget.alerts",
		metric.WithDescription("Alerts that a budget has reached a share of itself."))
	if err != nil {
		return nil, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	a.used, err = m.meter.Float64Gauge("weir.budget.used.ratio",
		metric.WithDescription("The share of a budget that is spent or reserved in its present window."))
	if err != nil {
		return nil, fmt.Errorf("telemetry: making a metric: %w", err)
	}
	return a, nil
}

// Check looks at where budgets stand. It does not wait for the webhook.
func (a *Alerts) Check(ctx context.Context, budgets []Budget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := map[string]bool{}
	for _, b := range budgets {
		share := float64(b.Spent) / float64(b.Amount)
		a.used.Record(ctx, share, metric.WithAttributes(attribute.String("team", b.Team), attribute.String("key", b.Key)))
		for _, at := range b.At {
			name := fmt.Sprintf("budget alert %s %s %s %g", b.account(), b.From.UTC().Format(time.RFC3339), b.Amount, at)
			said[name] = a.said[name] || share >= at
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

// say tells of a budget that has reached a share.
func (a *Alerts) say(ctx context.Context, b Budget, at float64) {
	percent := strconv.FormatFloat(at*100, 'f', -1, 64) + "%"
	a.counter.Add(ctx, 1, metric.WithAttributes(
		attribute.String("team", b.Team), attribute.String("key", b.Key), attribute.String("share", percent)))
	a.cfg.Log.Warn("budget alert", "team", b.Team, "key", b.Key, "share", percent,
		"spent_usd", b.Spent.Dollars(), "budget_usd", b.Amount.Dollars(), "window", b.From.Format(time.RFC3339))
	if a.cfg.Webhook == "" {
		return
	}
	body, err := json.Marshal(map[string]any{
		"event": "budget_alert", "team": b.Team, "key": b.Key, "share": at,
		"spent_usd": b.Spent.Dollars(), "budget_usd": b.Amount.Dollars(), "window_start": b.From.Format(time.RFC3339),
		"text": fmt.Sprintf("Weir: %s has used %s of its budget of %s: %s.", b.account(), percent, b.Amount, b.Spent),
	})
	if err != nil {
		return // it is made of strings and numbers
	}
	a.post.Go(func() { a.deliver(context.WithoutCancel(ctx), body) })
}

// The bounds of delivering an alert.
const (
	deliveries = 4 // tries
	delivery   = 10 * time.Second
)

// deliver posts an alert, more than once where that fails. The URL may hold a
// secret, so that it is not logged.
func (a *Alerts) deliver(ctx context.Context, body []byte) {
	wait := a.cfg.Backoff
	for try := 1; ; try++ {
		err := a.send(ctx, body)
		if err == nil {
			return
		}
		if try == deliveries {
			a.cfg.Log.Error("a budget alert could not be delivered", "tries", try, "reason", err.Error())
			return
		}
		timer := time.NewTimer(wait)
		<-timer.C
		wait *= 2
	}
}

func (a *Alerts) send(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, delivery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.Webhook, bytes.NewReader(body))
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
