package ledger

import (
	"context"
	"crypto/rand"
	_ "embed" // of the scripts
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

//go:embed scripts/recall.lua
var recallScript string

//go:embed scripts/attempt.lua
var attemptScript string

//go:embed scripts/resend.lua
var resendScript string

//go:embed scripts/revoke.lua
var revokeScript string

//go:embed scripts/state.lua
var stateScript string

//go:embed scripts/undo.lua
var undoScript string

var (
	attemptLua = rueidis.NewLuaScript(recallScript + attemptScript)
	resendLua  = rueidis.NewLuaScript(recallScript + resendScript)
	revokeLua  = rueidis.NewLuaScript(recallScript + extendScript + revokeScript)
	stateLua   = rueidis.NewLuaScript(recallScript + stateScript)
	undoLua    = rueidis.NewLuaScript(undoScript)
)

var (
	errNotConnected   = errors.New("ledger: not connected") // in each error while there is no client
	errMalformedReply = errors.New("ledger: malformed reply")
)

const (
	tendEvery  = time.Second // to connect, where there is no client, and to undo what is lost
	minSilence = time.Second // on a connection with commands under way, before it counts as dead
	bufferSize = 64 << 10    // bytes of a connection, each way
)

// Redis is a ledger that any number of replicas share: a Redis or Valkey server, what Sentinel says is
// one, or a cluster. It is safe for concurrent use. Each operation is a script that runs at once on the
// server and takes one round trip; what it touches has one hash tag, and so lives on one node.
//
// An operation that gets no answer may have been done all the same. Redis undoes it as soon as the server
// answers again, and before the next one on the same verification. But a wrong code that was counted stays
// counted: whoever can look at the ledger meanwhile would else learn of any number of codes that they are
// wrong. Right or wrong, it is undone by the same command, or its absence would tell.
type Redis struct {
	options                          rueidis.ClientOption
	dialer                           *dialer
	timeout                          time.Duration
	throttle                         Throttle
	throttleArgs, deviceThrottleArgs []string
	client                           atomic.Pointer[rueidis.Client] // nil until the first connection, and while it is made anew
	refusal                          atomic.Value                   // why there is no client, an error
	lost                             lostCommands
	stop                             context.CancelFunc
	stopped                          sync.WaitGroup
}

// NewRedis returns the ledger at address, which may be out of reach for now: it keeps trying. No
// operation takes longer than timeout. [Redis.Close] ends it.
func NewRedis(address Address, timeout time.Duration, throttle Throttle) *Redis {
	r := &Redis{options: address.options, dialer: newDialer(), timeout: timeout, throttle: throttle}
	r.throttleArgs, r.deviceThrottleArgs = throttle.args(), throttle.forDevices().args()
	r.options.ClientName = "otpd"
	r.options.DisableCache, r.options.DisableRetry = true, true
	r.options.PipelineMultiplex = -1 // one connection: the more requests share it, the fewer system calls
	r.options.ReadBufferEachConn, r.options.WriteBufferEachConn = bufferSize, bufferSize
	r.options.DialCtxFn = r.dialer.dial
	r.options.Dialer.Timeout = timeout
	r.options.ConnWriteTimeout = max(timeout, minSilence)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.connect()
	r.stopped.Go(func() { r.tendUntilStopped(ctx) })
	return r
}

// Close ends the connections.
func (r *Redis) Close() {
	r.stop()
	r.stopped.Wait()
	if client := r.client.Load(); client != nil {
		(*client).Close()
	}
}

func (r *Redis) connect() {
	client, err := rueidis.NewClient(r.options)
	if err != nil {
		r.refusal.Store(fmt.Errorf("%w: %w", errNotConnected, err))
		return
	}
	r.client.Store(&client)
}

// tendUntilStopped connects, where there is no client, and undoes what was lost.
func (r *Redis) tendUntilStopped(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.client.Load() == nil {
				r.connect()
			}
			r.undoAll(ctx)
		}
	}
}

// Attempt judges one code. [Admitted] means that the verdict on the code, right or not, may be given,
// and that it has been counted. After an error a right code has not been, or that will be undone.
func (r *Redis) Attempt(ctx context.Context, v Verification, right bool) (Outcome, error) {
	return r.run(ctx, attemptLua, r.attempt(v, right), true)
}

func (r *Redis) attempt(v Verification, right bool) command {
	c := newCommand(v)
	if r.throttle.counts(v) {
		c.keys = append(c.keys, failuresKey(v.Subject))
	}
	c.args = append(append(c.args, boolArg(right)), r.throttleArgs...)
	return c
}

// Resend supersedes the code in the context, if it is the newest and older than cooldown, by one that
// has been sent once more. After an error it has not, or that will be undone.
func (r *Redis) Resend(ctx context.Context, v Verification, cooldown time.Duration) (Outcome, error) {
	c := newCommand(v)
	c.args = append(c.args, timeArg(v.IssuedAt), durationArg(cooldown))
	return r.run(ctx, resendLua, c, true)
}

// Revoke ends the verification, whatever its state. After an error it may have been revoked; to revoke
// it again does no harm.
func (r *Redis) Revoke(ctx context.Context, v Verification) (Outcome, error) {
	return r.run(ctx, revokeLua, newCommand(v), false)
}

// State says how the verification itself stands, and changes nothing.
func (r *Redis) State(ctx context.Context, v Verification) (Outcome, error) {
	return r.run(ctx, stateLua, newCommand(v), false)
}

// Unlock forgets the failures of a subject.
func (r *Redis) Unlock(ctx context.Context, subject string) (Outcome, error) {
	ctx, cancel := r.bound(ctx)
	defer cancel()
	err := r.do(func(c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Del().Key(failuresKey(subject)).Build())
	}).Error()
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Verdict: Admitted}, nil
}

// Ping reports whether the server answers and takes writes. Of a cluster it asks one node.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := r.bound(ctx)
	defer cancel()
	return r.do(func(c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Set().Key("otpd:ping").Value("").PxMilliseconds(1000).Build())
	}).Error()
}

// command is one call of a script.
type command struct {
	keys, args []string
	nonce      string
	until      time.Time    // when to undo it is no longer worth while, by this machine's clock
	undo       *rueidis.Lua // does that
}

func newCommand(v Verification) command {
	nonce := rand.Text()[:12] // 60 bits, unique within the verification
	// From the context alone: by the clock of a replica that is ahead, it would end too early for the others.
	left := max(v.Until.Sub(v.IssuedAt), 0) + grace
	return command{
		keys:  append(make([]string, 0, 2), "otpd:{"+tag(v)+"}:"+v.ID),
		nonce: nonce,
		until: time.Now().Add(left), // when the verification may be forgotten
		undo:  undoLua,
		args: append(make([]string, 0, 13), timeArg(v.Now), durationArg(left), intArg(min(v.Attempts, most)),
			intArg(v.MaxAttempts), intArg(min(v.Resends, most)), nonce),
	}
}

// failuresKey can be no verification's: those have a colon behind the brace.
func failuresKey(subject string) string { return "otpd:{" + subject + "}" }

// run runs a script on a verification. The reply is {verdict, attempts, milliseconds to wait, nonce}.
func (r *Redis) run(ctx context.Context, script *rueidis.Lua, c command, undo bool) (outcome Outcome, err error) {
	err = r.exec(ctx, script, c, undo, func(result rueidis.RedisResult) error {
		outcome, err = c.outcome(result)
		return err
	})
	return outcome, err
}

// exec has a script run, after what is still to be undone under its key, and read take in the reply. It has it
// undone if the answer is lost and undo is true.
func (r *Redis) exec(
	ctx context.Context, script *rueidis.Lua, c command, undo bool, read func(rueidis.RedisResult) error,
) error {
	ctx, cancel := r.bound(ctx)
	defer cancel()
	if err := r.undo(ctx, c.keys[0]); err != nil {
		return err
	}
	err := read(r.do(func(client rueidis.Client) rueidis.RedisResult {
		return script.Exec(ctx, client, c.keys, c.args)
	}))
	if errors.Is(err, errMalformedReply) {
		r.dialer.closeAll() // or all that follow would be another command's, too
	}
	if err != nil && undo && mayHaveRun(err) {
		r.lost.add(c)
	}
	return err
}

// outcome reads the reply to c. Any other reply is [errMalformedReply].
func (c command) outcome(result rueidis.RedisResult) (Outcome, error) {
	if err := result.Error(); err != nil {
		return Outcome{}, err
	}
	reply, _ := result.ToArray()
	if len(reply) != 4 {
		return Outcome{}, errMalformedReply
	}
	verdict, err0 := reply[0].ToString()
	attempts, err1 := reply[1].AsInt64()
	wait, err2 := reply[2].AsInt64()
	nonce, err3 := reply[3].ToString()
	if errors.Join(err0, err1, err2, err3) != nil || nonce != c.nonce {
		return Outcome{}, errMalformedReply
	}
	return Outcome{verdict, int(attempts), time.Duration(wait) * time.Millisecond}, nil
}

// bound gives an operation its time, which is its own whether or not whoever asked for it is still there.
func (r *Redis) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
}

// do has the client do something.
func (r *Redis) do(do func(rueidis.Client) rueidis.RedisResult) (result rueidis.RedisResult) {
	client := r.client.Load()
	if client == nil {
		return rueidis.NewErrorResult(r.refusal.Load().(error))
	}
	defer func() {
		// Over a malformed reply, where one command is under way. With several, rueidis reads in a goroutine of
		// its own, and that ends the process. Here it would go on without ever answering again.
		if cause := recover(); cause != nil {
			r.drop(client)
			result = rueidis.NewErrorResult(fmt.Errorf("%w: %v", errMalformedReply, cause))
		}
	}()
	result = do(*client)
	if refused, ok := rueidis.IsRedisErr(result.Error()); ok && isReadOnly(refused) {
		r.dialer.closeAll() // the address may lead to another server now
	}
	return result
}

// drop gives a client up, so that [Redis.tendUntilStopped] makes a new one.
func (r *Redis) drop(client *rueidis.Client) {
	r.refusal.Store(fmt.Errorf("%w: %w", errNotConnected, errMalformedReply))
	if r.client.CompareAndSwap(client, nil) {
		r.dialer.closeAll()
		go (*client).Close() // which waits for answers that it will not get
	}
}

// isReadOnly reports whether a server takes no writes because it is, or has become, a replica. Redis 6.2 puts
// its own error into that of the script.
func isReadOnly(err *rueidis.RedisError) bool {
	return strings.HasPrefix(err.Error(), "READONLY") || strings.Contains(err.Error(), "-READONLY")
}

func intArg(n int) string                { return strconv.Itoa(n) }
func numberArg(n int64) string           { return strconv.FormatInt(n, 10) }
func timeArg(t time.Time) string         { return numberArg(t.UnixMilli()) }
func durationArg(d time.Duration) string { return numberArg(d.Milliseconds()) }

// args are what a script needs to know of a throttle.
func (t Throttle) args() []string {
	return []string{
		intArg(t.After), durationArg(t.Factor), durationArg(t.Max),
		intArg(severeAfter), durationArg(severeLock), durationArg(forgetAfter),
	}
}

func boolArg(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
