package azuresim

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The windows over which a pay-as-you-go deployment looks back, and the wait it
// names for a request that can never fit.
const (
	tokenWindow   = time.Minute
	requestWindow = 10 * time.Second
	never         = 86400 * time.Second
)

// admission decides which requests a deployment takes. It is guarded by the
// server's mutex.
type admission struct {
	admitted []admittance // of the last minute, in order
	level    float64      // tokens held in a provisioned deployment's bucket
	drained  time.Time    // when level was brought up to date
}

type admittance struct {
	at   time.Time
	cost int
}

// ticket is what an admitted request holds.
type ticket struct {
	gate *admission // nil where nothing is to be given back
	cost int
}

// settle gives back what a provisioned deployment reserved and did not use.
func (t ticket) settle(used int) {
	if t.gate != nil {
		t.gate.level = max(0, t.gate.level-float64(max(0, t.cost-used)))
	}
}

// admit charges the request to its deployment, or returns the 429.
func (c *call) admit() *Step {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	name := strings.ToLower(c.route.deployment)
	gate := c.srv.gates[name]
	if gate == nil {
		gate = &admission{drained: c.now}
		c.srv.gates[name] = gate
	}
	headers := c.w.Header()
	if c.dep.Provisioned && c.dep.TPM > 0 {
		wait := gate.pour(c.dep, c.cost(), c.now)
		headers.Set("azure-openai-deployment-utilization", fmt.Sprintf("%.0f%%", min(100, 100*gate.level/float64(c.dep.TPM))))
		if wait > 0 {
			return provisionedFull(wait)
		}
		c.gate = ticket{gate, c.cost()}
		return nil
	}
	kind, wait := gate.take(c.dep, c.cost(), c.now)
	gate.headers(headers, c.dep)
	if wait == 0 {
		return nil
	}
	headers.Set("x-ratelimit-reset-"+map[string]string{"call": "requests", "token": "tokens"}[kind],
		strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return c.operated(rateLimit(kind, "OpenAI S0", wait))
}

// operated names the operation in a 429's text.
func (c *call) operated(s *Step) *Step {
	s.Body = strings.Replace(s.Body, chatOperation, cmp.Or(c.route.operation, chatOperation), 1)
	return s
}

// cost is Azure's estimate of a request on arrival: the prompt, and max_tokens
// or else 16 for each choice.
func (c *call) cost() int {
	if c.chat == nil {
		return 0
	}
	if c.chat.mute {
		return c.chat.promptTokens()
	}
	return c.chat.promptTokens() + max(1, c.chat.n)*cmp.Or(c.chat.maxTokens(), 16)
}

// pour adds cost to the bucket, which leaks TPM a minute. A bucket that is not
// full takes any request; a full one names the wait until it is not.
func (a *admission) pour(d Deployment, cost int, now time.Time) time.Duration {
	rate := float64(d.TPM) / float64(time.Minute)
	a.level = max(0, a.level-rate*float64(now.Sub(a.drained)))
	a.drained = now
	if over := a.level - float64(d.TPM); over >= 0 {
		return time.Duration(math.Ceil(over/rate)) + time.Millisecond
	}
	a.level += float64(cost)
	return 0
}

// take admits a request of cost, or names the limit in its way, call or token,
// and the wait after which it is not. Requests that are refused cost nothing.
func (a *admission) take(d Deployment, cost int, now time.Time) (string, time.Duration) {
	a.admitted = slices.DeleteFunc(a.admitted, func(x admittance) bool { return now.Sub(x.at) >= tokenWindow })
	if d.RPM > 0 {
		burst := max(1, d.RPM/6)
		i := len(a.admitted) - burst
		if i >= 0 && now.Sub(a.admitted[i].at) < requestWindow {
			return "call", a.admitted[i].at.Add(requestWindow).Sub(now)
		}
	}
	if d.TPM > 0 {
		if cost > d.TPM {
			return "token", never
		}
		used := a.used()
		for _, x := range a.admitted {
			if used+cost <= d.TPM {
				break
			}
			used -= x.cost
			if used+cost <= d.TPM {
				return "token", x.at.Add(tokenWindow).Sub(now)
			}
		}
	}
	a.admitted = append(a.admitted, admittance{now, cost})
	return "", 0
}

// used is the cost of what was admitted in the last minute.
func (a *admission) used() int {
	sum := 0
	for _, x := range a.admitted {
		sum += x.cost
	}
	return sum
}

func (a *admission) headers(h http.Header, d Deployment) {
	set := func(kind string, limit, used int) {
		if limit > 0 {
			h.Set("x-ratelimit-limit-"+kind, strconv.Itoa(limit))
			h.Set("x-ratelimit-remaining-"+kind, strconv.Itoa(max(0, limit-used)))
		}
	}
	set("tokens", d.TPM, a.used())
	set("requests", d.RPM, len(a.admitted))
}
