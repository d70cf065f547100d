-- The load: POST a body of 16 bytes, over and over. Then what was seen, as one line of JSON.
wrk.method = "POST"
wrk.body = "0123456789abcdef"
wrk.headers["Content-Type"] = "application/octet-stream"

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"bytes":%d,"seconds":%.6f,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
        summary.requests, summary.bytes, summary.duration / 1e6, errors.status, errors.connect,
        errors.read, errors.write, errors.timeout))
end
