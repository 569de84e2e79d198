-- HAProxy asks the authorization server before it passes a call on: `http-request lua.forward_auth QUERY`.
-- 204 lets the call through, with X-Auth-Subject, X-Auth-Client and X-Auth-Roles; 401 and 403 are handed on with their
-- challenge; anything else, and silence, is a 502: nothing passes that was not answered for.

local url, basic = os.getenv("FORWARD_AUTH_URL"), os.getenv("FORWARD_AUTH_BASIC")
local passed = { "x-auth-subject", "x-auth-client", "x-auth-roles" }

local function one(headers, name)
    local found = headers and headers[name]
    if type(found) == "table" then return found[0] or found[1] end
    return found
end

local function answer(txn, status, challenge, nonce)
    local reply = txn:reply({ status = status })
    reply:add_header("Cache-Control", "no-store")
    reply:add_header("Content-Length", "0")
    if challenge then reply:add_header("WWW-Authenticate", challenge) end
    if nonce then reply:add_header("DPoP-Nonce", nonce) end
    txn:done(reply)
end

core.register_action("forward_auth", { "http-req" }, function(txn, query)
    local came = txn.http:req_get_headers()
    local asked = {
        ["x-gateway-authorization"] = { basic },
        ["x-forwarded-method"] = { txn.f:method() },
        ["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" },
        ["x-forwarded-host"] = { one(came, "host") or "" },
        ["x-forwarded-uri"] = { txn.f:pathq() },
        ["x-forwarded-for"] = { txn.f:src() },
    }
    -- As they came, the token and its proof (RFC 9449); twice is for the server to refuse, and is not passed on.
    for _, name in ipairs({ "authorization", "dpop" }) do
        local found = came[name]
        if found then
            if found[1] then return answer(txn, 400) end
            asked[name] = { found[0] }
        end
    end
    local ok, response = pcall(function()
        return core.httpclient():get({ url = url .. "?" .. query, headers = asked, timeout = 5000 })
    end)
    if not ok or not response then return answer(txn, 502) end
    local challenge = one(response.headers, "www-authenticate")
    if response.status == 204 then
        for _, name in ipairs(passed) do
            txn.http:req_set_header(name, one(response.headers, name) or "")
        end
    elseif (response.status == 401 or response.status == 403) and challenge
        and (challenge:find("^Bearer ") or challenge:find("^DPoP ")) then
        return answer(txn, response.status, challenge, one(response.headers, "dpop-nonce"))
    else
        -- Also a challenge of another scheme: this gateway's own id or secret is wrong. No caller can mend that.
        return answer(txn, 502)
    end
end, 1)
