//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/presence-server/presence/deploy/testserver"
)

// nchanModule is where Debian's libnginx-mod-nchan installs its module.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nchanConfig configures one worker that sends every published message to all streams.
// The cost of storing messages for streams that open later is too small to measure.
const nchanConfig = `load_module %s;
daemon off; pid nginx.pid; error_log stderr error; user root; worker_processes 1; worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
	access_log off; keepalive_requests 1000000;
	client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
	server {
		listen %s backlog=4096;
		location = /readyz { return 200; }
		location = /v1/events {
			nchan_subscriber eventsource; nchan_channel_id all; nchan_subscriber_first_message newest;
		}
		location = /publish {
			nchan_publisher; nchan_channel_id all;
			nchan_eventsource_event USER_STATUS_UPDATED;
		}
	}
}`

// startNchan starts nginx with nchan, or returns nil where it isn't installed.
func (b *bench) startNchan() (*target, error) {
	nginx, err := exec.LookPath("nginx")
	if err == nil {
		_, err = os.Stat(nchanModule)
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(b.Folder, "nginx-")
	if err != nil {
		return nil, err
	}
	address, err := testserver.FreeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(nchanConfig, nchanModule, address)
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	t, err := launch(exec.Command(nginx, "-p", folder, "-c", "nginx.conf", "-e", "stderr"), address)
	if err != nil {
		return nil, err
	}
	if t.pid, err = onlyChild(t.pid); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// onlyChild returns the only child of a process, which is nginx's worker.
func onlyChild(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
