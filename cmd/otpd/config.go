package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/egress"
	"github.com/otpd/otpd/internal/httpapi"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// config is the environment. The tag allowed says what a variable takes, for error messages and the
// table of otpd config; secret keeps its value out of both; blank lets it be set to nothing.
type config struct {
	SigningKey              string        `envconfig:"OTP_SIGNING_KEY" secret:"true" allowed:"32 bytes in base64, which otpd keygen prints"`
	SigningKeyFile          string        `envconfig:"OTP_SIGNING_KEY_FILE" allowed:"a file with one key a line, the first seals; instead of OTP_SIGNING_KEY"`
	SigningKeyFallbacks     string        `envconfig:"OTP_SIGNING_KEY_FALLBACKS" secret:"true" allowed:"keys that only open, separated by commas"`
	SigningKeyFallbacksFile string        `envconfig:"OTP_SIGNING_KEY_FALLBACKS_FILE" allowed:"a file with one key a line; instead of OTP_SIGNING_KEY_FALLBACKS"`
	ExpirySeconds           whole         `envconfig:"OTP_EXPIRY_SECONDS" default:"300" allowed:"1 to 86400"`
	SessionExpirySeconds    whole         `envconfig:"OTP_SESSION_EXPIRY_SECONDS" default:"900" allowed:"1 to 86400, not less than OTP_EXPIRY_SECONDS"`
	MaxRetries              whole         `envconfig:"OTP_DEFAULT_MAX_RETRIES" default:"3" allowed:"0 to 10"`
	Length                  whole         `envconfig:"OTP_DEFAULT_LENGTH" default:"6" allowed:"6 to 12"`
	Alphabet                string        `envconfig:"OTP_DEFAULT_ALPHABET" default:"numeric" allowed:"numeric, alphanumeric or letters"`
	MaxResends              whole         `envconfig:"OTP_MAX_RESENDS" default:"5" allowed:"0 to 1000"`
	ResendCooldownSeconds   whole         `envconfig:"OTP_RESEND_COOLDOWN_SECONDS" default:"30" allowed:"0 to 86400"`
	ListenAddr              string        `envconfig:"OTP_LISTEN_ADDR" default:"127.0.0.1:8080" allowed:"HOST:PORT or unix:/PATH"`
	AdminAddr               string        `envconfig:"OTP_ADMIN_ADDR" default:"127.0.0.1:8081" blank:"true" allowed:"HOST:PORT, unix:/PATH or nothing for none"`
	Pprof                   bool          `envconfig:"OTP_PPROF" default:"false" allowed:"true or false"`
	APIKeys                 string        `envconfig:"OTP_API_KEYS" secret:"true" allowed:"name:secret, several separated by commas, secrets of 16 or more characters"`
	APIKeysFile             string        `envconfig:"OTP_API_KEYS_FILE" allowed:"a file with one name:secret a line; instead of OTP_API_KEYS"`
	AllowAnonymous          bool          `envconfig:"OTP_ALLOW_ANONYMOUS" default:"false" allowed:"true or false"`
	TLSCertFile             string        `envconfig:"OTP_TLS_CERT_FILE" allowed:"a PEM file, together with OTP_TLS_KEY_FILE"`
	TLSKeyFile              string        `envconfig:"OTP_TLS_KEY_FILE" allowed:"a PEM file, together with OTP_TLS_CERT_FILE"`
	LedgerURL               string        `envconfig:"OTP_LEDGER_URL" secret:"true" default:"memory:" allowed:"memory:, none:, or redis:// or rediss:// and [USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB][?master=NAME]"`
	LedgerURLFile           string        `envconfig:"OTP_LEDGER_URL_FILE" allowed:"a file with the URL; instead of OTP_LEDGER_URL"`
	LedgerTimeout           time.Duration `envconfig:"OTP_LEDGER_TIMEOUT" default:"250ms" allowed:"1ms to 5s"`
	LedgerMaxEntries        whole         `envconfig:"OTP_LEDGER_MAX_ENTRIES" default:"1000000" allowed:"1 to 1000000000"`
	ThrottleAfter           whole         `envconfig:"OTP_THROTTLE_AFTER" default:"20" allowed:"0 to 1000"`
	ThrottleFactorSeconds   whole         `envconfig:"OTP_THROTTLE_FACTOR_SECONDS" default:"1" allowed:"0, which switches it off, to 86400"`
	ThrottleMaxSeconds      whole         `envconfig:"OTP_THROTTLE_MAX_SECONDS" default:"3600" allowed:"1 to 86400"`
	Issuer                  string        `envconfig:"OTP_ISSUER" default:"otpd" allowed:"what authenticator apps show, 1 to 64 bytes without a colon"`
	EnrollmentSeconds       whole         `envconfig:"OTP_ENROLLMENT_SECONDS" default:"86400" allowed:"60 to 604800"`
	ChallengeSeconds        whole         `envconfig:"OTP_CHALLENGE_SECONDS" default:"120" allowed:"1 to 3600"`
	DeliveryTimeout         time.Duration `envconfig:"OTP_DELIVERY_TIMEOUT" default:"5s" allowed:"1ms to 8s"`
	TemplateDir             string        `envconfig:"OTP_TEMPLATE_DIR" allowed:"a directory with templates of messages, beside or instead of those built in"`
	SMTPURL                 string        `envconfig:"OTP_SMTP_URL" secret:"true" allowed:"smtp://[USER:PASSWORD@]HOST[:PORT], with STARTTLS, or smtps://, and perhaps ?auth=plain, login, cram-md5 or xoauth2; for loopback also smtp://HOST?tls=none"`
	SMTPURLFile             string        `envconfig:"OTP_SMTP_URL_FILE" allowed:"a file with the URL; instead of OTP_SMTP_URL"`
	MailFrom                string        `envconfig:"OTP_MAIL_FROM" allowed:"an address, perhaps with a name: Shop <no-reply@example.com>; needed with OTP_SMTP_URL"`
	TwilioAccountSID        string        `envconfig:"OTP_TWILIO_ACCOUNT_SID" allowed:"AC and 32 hexadecimal digits"`
	TwilioAuthToken         string        `envconfig:"OTP_TWILIO_AUTH_TOKEN" secret:"true" allowed:"the token of that account"`
	TwilioAuthTokenFile     string        `envconfig:"OTP_TWILIO_AUTH_TOKEN_FILE" allowed:"a file with the token; instead of OTP_TWILIO_AUTH_TOKEN"`
	TwilioFrom              string        `envconfig:"OTP_TWILIO_FROM" allowed:"a number like +15005550006, a sender's name, or the SID of a messaging service"`
	TwilioBaseURL           string        `envconfig:"OTP_TWILIO_BASE_URL" default:"https://api.twilio.com" allowed:"an https URL, or an http one for loopback"`
	SMSGatewayFile          string        `envconfig:"OTP_SMS_GATEWAY_FILE" allowed:"a JSON file that describes an HTTP gateway; instead of OTP_TWILIO_*"`
	SMSBudget               whole         `envconfig:"OTP_SMS_BUDGET" default:"1000" allowed:"messages an hour to numbers with one calling code, for each API key: 0, for no bound, to 100000"`
	WebOTPOrigin            string        `envconfig:"OTP_WEBOTP_ORIGIN" allowed:"the host, or its https origin, whose page may read the code out of an SMS"`
	DeliveryWebhookURL      string        `envconfig:"OTP_DELIVERY_WEBHOOK_URL" allowed:"an https URL, or an http one for loopback"`
	DeliveryWebhookSecrets  string        `envconfig:"OTP_DELIVERY_WEBHOOK_SECRETS" secret:"true" allowed:"whsec_ and 24 to 64 bytes in base64, several separated by commas, the newest first"`
	DeliveryWebhookFile     string        `envconfig:"OTP_DELIVERY_WEBHOOK_SECRETS_FILE" allowed:"a file with one secret a line; instead of OTP_DELIVERY_WEBHOOK_SECRETS"`
	DeliveryConsole         bool          `envconfig:"OTP_DELIVERY_CONSOLE" default:"false" allowed:"true or false"`
	EventsURL               string        `envconfig:"OTP_EVENTS_URL" allowed:"an https URL, or an http one for loopback"`
	EventsSecrets           string        `envconfig:"OTP_EVENTS_SECRETS" secret:"true" allowed:"whsec_ and 24 to 64 bytes in base64, several separated by commas, the newest first"`
	EventsSecretsFile       string        `envconfig:"OTP_EVENTS_SECRETS_FILE" allowed:"a file with one secret a line; instead of OTP_EVENTS_SECRETS"`
	JWTPrivateKeyFile       string        `envconfig:"OTP_JWT_PRIVATE_KEY_FILE" allowed:"a file with private keys in PEM, PKCS #8, or several separated by commas; the first key signs; otpd keygen --jwt prints one"`
	JWTIssuer               string        `envconfig:"OTP_JWT_ISSUER" default:"otpd" allowed:"what tokens have as iss, 1 to 256 bytes"`
	JWTAudience             string        `envconfig:"OTP_JWT_AUDIENCE" default:"otpd" allowed:"what tokens have as aud, 1 to 256 bytes"`
	AccessTokenSeconds      whole         `envconfig:"OTP_ACCESS_TOKEN_SECONDS" default:"900" allowed:"1 to 86400"`
	RefreshTokenSeconds     whole         `envconfig:"OTP_REFRESH_TOKEN_SECONDS" default:"604800" allowed:"1 to 31536000, not less than OTP_ACCESS_TOKEN_SECONDS"`
	TOTPEncryptionKey       string        `envconfig:"TOTP_ENCRYPTION_KEY" secret:"true" blank:"true" allowed:"what encrypts the secrets that otpd import django-totp reads: keys of 32 bytes in base64, separated by commas"`
	TOTPEncryptionKeyFile   string        `envconfig:"TOTP_ENCRYPTION_KEY_FILE" blank:"true" allowed:"a file with one key a line; instead of TOTP_ENCRYPTION_KEY"`
	LogLevel                string        `envconfig:"OTP_LOG_LEVEL" default:"info" allowed:"debug, info, warn or error"`
	LogFormat               string        `envconfig:"OTP_LOG_FORMAT" default:"json" allowed:"json or text"`
	ShutdownTimeout         time.Duration `envconfig:"OTP_SHUTDOWN_TIMEOUT" default:"10s" allowed:"1ms to 10m"`
}

// whole is a whole number in plain decimals: a leading zero must not mean octal.
type whole int

// Decode implements [envconfig.Decoder].
func (w *whole) Decode(text string) error {
	n, err := strconv.Atoi(text)
	*w = whole(n)
	return err
}

func (w whole) seconds() time.Duration { return time.Duration(w) * time.Second }

// readConfig returns the environment, checked. The error names one variable and what it allows, and
// holds no secret. The files it names are read later, and again whenever they change.
func readConfig() (config, error) {
	var c config
	for _, v := range variables() {
		if value, set := os.LookupEnv(v.name); set && value == "" && !v.blank {
			return c, complain(v.name, "is set to nothing")
		}
	}
	if err := envconfig.Process("", &c); err != nil {
		if parse, ok := errors.AsType[*envconfig.ParseError](err); ok {
			return c, badValue(parse.KeyName)
		}
		return c, err
	}
	return c, c.check()
}

// check returns an error for the first variable whose value is not allowed.
func (c config) check() error {
	for _, rule := range []struct {
		variable string
		ok       bool
	}{
		{"OTP_EXPIRY_SECONDS", 1 <= c.ExpirySeconds && c.ExpirySeconds <= 86400},
		{"OTP_SESSION_EXPIRY_SECONDS", 1 <= c.SessionExpirySeconds && c.SessionExpirySeconds <= 86400},
		{"OTP_DEFAULT_MAX_RETRIES", 0 <= c.MaxRetries && c.MaxRetries <= otp.MaxRetries},
		{"OTP_DEFAULT_LENGTH", otp.MinLength <= c.Length && c.Length <= otp.MaxLength},
		{"OTP_DEFAULT_ALPHABET", slices.Contains([]string{otp.Numeric, otp.Alphanumeric, otp.Letters}, c.Alphabet)},
		{"OTP_MAX_RESENDS", 0 <= c.MaxResends && c.MaxResends <= 1000},
		{"OTP_RESEND_COOLDOWN_SECONDS", 0 <= c.ResendCooldownSeconds && c.ResendCooldownSeconds <= 86400},
		{"OTP_LISTEN_ADDR", isAddr(c.ListenAddr)},
		{"OTP_ADMIN_ADDR", c.AdminAddr == "" || isAddr(c.AdminAddr)},
		{"OTP_LEDGER_TIMEOUT", time.Millisecond <= c.LedgerTimeout && c.LedgerTimeout <= 5*time.Second},
		{"OTP_LEDGER_MAX_ENTRIES", 1 <= c.LedgerMaxEntries && c.LedgerMaxEntries <= 1e9},
		{"OTP_THROTTLE_AFTER", 0 <= c.ThrottleAfter && c.ThrottleAfter <= 1000},
		{"OTP_THROTTLE_FACTOR_SECONDS", 0 <= c.ThrottleFactorSeconds && c.ThrottleFactorSeconds <= 86400},
		{"OTP_THROTTLE_MAX_SECONDS", 1 <= c.ThrottleMaxSeconds && c.ThrottleMaxSeconds <= 86400},
		{"OTP_ISSUER", device.CheckIssuer(c.Issuer) == nil},
		{"OTP_ENROLLMENT_SECONDS", 60 <= c.EnrollmentSeconds && c.EnrollmentSeconds <= 604800},
		{"OTP_CHALLENGE_SECONDS", 1 <= c.ChallengeSeconds && c.ChallengeSeconds <= 3600},
		{"OTP_DELIVERY_TIMEOUT", delivery.MinTimeout <= c.DeliveryTimeout && c.DeliveryTimeout <= delivery.MaxTimeout},
		{"OTP_TWILIO_BASE_URL", isEgress(c.TwilioBaseURL)},
		{"OTP_SMS_BUDGET", 0 <= c.SMSBudget && c.SMSBudget <= 100_000},
		{"OTP_JWT_ISSUER", isClaim(c.JWTIssuer)},
		{"OTP_JWT_AUDIENCE", isClaim(c.JWTAudience)},
		{"OTP_ACCESS_TOKEN_SECONDS", 1 <= c.AccessTokenSeconds && c.AccessTokenSeconds <= 86400},
		{"OTP_REFRESH_TOKEN_SECONDS", c.AccessTokenSeconds <= c.RefreshTokenSeconds && c.RefreshTokenSeconds <= 31536000},
		{"OTP_LOG_LEVEL", slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel)},
		{"OTP_LOG_FORMAT", c.LogFormat == "json" || c.LogFormat == "text"},
		{"OTP_SHUTDOWN_TIMEOUT", time.Millisecond <= c.ShutdownTimeout && c.ShutdownTimeout <= 10*time.Minute},
	} {
		if !rule.ok {
			return badValue(rule.variable)
		}
	}
	if c.SessionExpirySeconds < c.ExpirySeconds {
		return complain("OTP_SESSION_EXPIRY_SECONDS", fmt.Sprintf("is %d, less than OTP_EXPIRY_SECONDS", c.SessionExpirySeconds))
	}
	for _, pair := range []struct{ has, variable, value string }{
		{c.TLSCertFile, "OTP_TLS_KEY_FILE", c.TLSKeyFile},
		{c.TLSKeyFile, "OTP_TLS_CERT_FILE", c.TLSCertFile},
		{c.SMTPURL + c.SMTPURLFile, "OTP_MAIL_FROM", c.MailFrom},
		{c.MailFrom, "OTP_SMTP_URL", c.SMTPURL + c.SMTPURLFile},
		{c.TwilioAccountSID, "OTP_TWILIO_AUTH_TOKEN", c.TwilioAuthToken + c.TwilioAuthTokenFile},
		{c.TwilioAccountSID, "OTP_TWILIO_FROM", c.TwilioFrom},
		{c.TwilioAuthToken + c.TwilioAuthTokenFile + c.TwilioFrom, "OTP_TWILIO_ACCOUNT_SID", c.TwilioAccountSID},
		{c.DeliveryWebhookURL, "OTP_DELIVERY_WEBHOOK_SECRETS", c.DeliveryWebhookSecrets + c.DeliveryWebhookFile},
		{c.DeliveryWebhookSecrets + c.DeliveryWebhookFile, "OTP_DELIVERY_WEBHOOK_URL", c.DeliveryWebhookURL},
		{c.EventsURL, "OTP_EVENTS_SECRETS", c.EventsSecrets + c.EventsSecretsFile},
		{c.EventsSecrets + c.EventsSecretsFile, "OTP_EVENTS_URL", c.EventsURL},
	} {
		if pair.has != "" && pair.value == "" {
			return complain(pair.variable, "is missing")
		}
	}
	if c.SMSGatewayFile != "" && c.TwilioAccountSID != "" {
		return complain("OTP_SMS_GATEWAY_FILE", "is set together with OTP_TWILIO_ACCOUNT_SID")
	}
	if c.WebOTPOrigin != "" && c.SMSGatewayFile+c.TwilioAccountSID == "" {
		return complain("OTP_WEBOTP_ORIGIN", "is set without OTP_TWILIO_ACCOUNT_SID or OTP_SMS_GATEWAY_FILE")
	}
	return nil
}

// isEgress reports whether otpd may send something to a URL.
func isEgress(url string) bool {
	_, err := egress.ParseURL(url)
	return err == nil
}

// isClaim reports whether text is fit for a claim of a token.
func isClaim(text string) bool { return text != "" && otp.CheckText("", text, token.MaxName) == nil }

func isAddr(addr string) bool {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return strings.HasPrefix(path, "/")
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

// ring reads the signing keys.
func (c config) ring() (ring *otpcontext.Ring, err error) {
	var all []string
	for _, list := range []struct{ variable, value, file string }{
		{"OTP_SIGNING_KEY", c.SigningKey, c.SigningKeyFile},
		{"OTP_SIGNING_KEY_FALLBACKS", c.SigningKeyFallbacks, c.SigningKeyFallbacksFile},
	} {
		keys, source, err := secrets(list.variable, list.value, list.file)
		if err != nil {
			return nil, err
		}
		if keys == nil && all == nil {
			return nil, complain("OTP_SIGNING_KEY", "is missing")
		}
		if keys == nil {
			continue
		}
		if _, err := otpcontext.ParseRing(keys); err != nil {
			return nil, complain(source, err.Error())
		}
		if list.variable == "OTP_SIGNING_KEY" && list.file == "" && len(keys) > 1 {
			return nil, complain(source, "holds more than one key")
		}
		all = append(all, keys...)
		if ring, err = otpcontext.ParseRing(all); err != nil {
			return nil, complain(source, err.Error())
		}
	}
	return ring, nil
}

// apiKeys reads the API keys; nil if there are none.
func (c config) apiKeys() (*httpapi.KeySet, error) {
	entries, source, err := secrets("OTP_API_KEYS", c.APIKeys, c.APIKeysFile)
	if err != nil || entries == nil {
		return nil, err
	}
	set, err := httpapi.ParseKeys(entries)
	if err != nil {
		return nil, complain(source, err.Error())
	}
	return set, nil
}

func (c config) jwtKeyFiles() (files []string) {
	for file := range strings.SplitSeq(c.JWTPrivateKeyFile, ",") {
		files = append(files, strings.TrimSpace(file))
	}
	return files
}

// jwtKeys reads the keys that sign tokens.
func (c config) jwtKeys() (*token.KeySet, error) {
	var all []byte
	for _, file := range c.jwtKeyFiles() {
		data, err := readFile("OTP_JWT_PRIVATE_KEY_FILE", file)
		if err != nil {
			return nil, err
		}
		all = append(append(all, data...), '\n')
	}
	set, err := token.ParseKeys(all)
	if err != nil {
		return nil, complain("OTP_JWT_PRIVATE_KEY_FILE", "cannot be used: "+err.Error())
	}
	return set, nil
}

// foreignKeys reads the keys under which django-totp keeps secrets.
func (c config) foreignKeys() (*otpcontext.ForeignKeys, error) {
	encoded, source, err := secrets("TOTP_ENCRYPTION_KEY", c.TOTPEncryptionKey, c.TOTPEncryptionKeyFile)
	if err != nil {
		return nil, err
	}
	if encoded == nil {
		return nil, complain(source, "is missing")
	}
	keys, err := otpcontext.ParseForeignKeys(encoded)
	if err != nil {
		return nil, complain(source, err.Error())
	}
	return keys, nil
}

// secret returns what a variable holds, or the only line of the file that it names by its other name,
// VARIABLE_FILE. The source is the name that is set.
func secret(variable, value, file string) (text, source string, err error) {
	if file == "" {
		return value, variable, nil
	}
	lines, source, err := secrets(variable, os.Getenv(variable), file)
	if err == nil && len(lines) > 1 {
		err = complain(source, "holds more than one line")
	}
	if err != nil {
		return "", source, err
	}
	return lines[0], source, nil
}

// secrets returns what a variable holds, separated by commas, or the lines of the file that it names
// by its other name, VARIABLE_FILE, where empty lines and those that begin with # do not count; nil if
// neither is set. The source is the name that is.
func secrets(variable, value, file string) (list []string, source string, err error) {
	separator, source := ",", variable
	if file != "" {
		source, separator = variable+"_FILE", "\n"
		if value != "" {
			return nil, source, complain(source, "is set together with "+variable)
		}
		data, err := readFile(source, file)
		if err != nil {
			return nil, source, err
		}
		value = string(data)
	} else if value == "" {
		return nil, source, nil
	}
	for line := range strings.SplitSeq(value, separator) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	if list == nil {
		return nil, source, complain(source, "holds nothing")
	}
	return list, source, nil
}

// readFile reads the file that a variable names, which the error blames.
func readFile(variable, file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, complain(variable, "cannot be read: "+errors.Unwrap(err).Error())
	}
	return data, nil
}

// variable is one row of the table of variables.
type variable struct {
	name, byDefault, allowed string
	secret, blank            bool
}

// variables returns the fields of config.
func variables() []variable {
	var all []variable
	for field := range reflect.TypeFor[config]().Fields() {
		tag := field.Tag
		all = append(all, variable{
			name: tag.Get("envconfig"), byDefault: tag.Get("default"), allowed: tag.Get("allowed"),
			secret: tag.Get("secret") != "", blank: tag.Get("blank") != "",
		})
	}
	return all
}

// complain returns the error that a variable, by its name, is wrong in the way that what says.
func complain(name, what string) error {
	for _, v := range variables() {
		if v.name == name {
			return fmt.Errorf("%s %s; allowed: %s", name, what, v.allowed)
		}
	}
	panic("no variable " + name)
}

// badValue returns the error that the value of a variable is not allowed, quoting it if it is no secret.
func badValue(name string) error {
	for _, v := range variables() {
		if v.name == name && !v.secret {
			return complain(name, fmt.Sprintf("is %q", os.Getenv(name)))
		}
	}
	return complain(name, "has a bad value")
}

// unknownVariables returns the names in the environment that look like otpd's and are not.
func unknownVariables() (names []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		known := slices.ContainsFunc(variables(), func(v variable) bool { return v.name == name })
		if strings.HasPrefix(name, "OTP_") && !known {
			names = append(names, name)
		}
	}
	return names
}

// printVariables writes the table of variables with their defaults and what is set.
func printVariables(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tDEFAULT\tSET TO\tALLOWED")
	for _, v := range variables() {
		value, set := os.LookupEnv(v.name)
		switch {
		case !set:
			value = "-"
		case v.secret:
			value = "(hidden)"
		default:
			value = strconv.Quote(value)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v.name, v.byDefault, value, v.allowed)
	}
	_ = table.Flush()
}
